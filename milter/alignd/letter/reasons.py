"""Says the reason of a judgement to those who own the author domain, in their language."""

from __future__ import annotations

from alignd.judgement.prediction import Prediction
from alignd.judgement.reasons import Reason
from alignd.languages.texts import Texts, msgid
from alignd.mailauth.spf import SpfResult

_NOBODY_VOUCHES = msgid(
    "Neither the SPF record nor a DKIM key of {domain} vouches for our mail server, so that other "
    "mail servers take this mail for a forgery, and may block it."
)
_UNREADABLE = msgid(
    "The From field of the message cannot be read safely, and mail servers read it differently."
)
_BY_RULE = msgid("The mail is sent as it is by a rule of our mail server for {domain}.")
_OUR_DOMAIN = msgid("The mail comes from our own domain.")
_NO_HELPDESK = msgid("The message does not come from a helpdesk.")
_OUR_FAULT = msgid("The fault is on our side, and there is nothing to change in your DNS.")
_NO_SPF_RECORD = msgid(
    "{domain} has no SPF record that names our mail server, so that other mail servers cannot "
    "tell this mail from a forgery, and may block it."
)

_SENTENCES = {
    Reason.CLIENT_NOT_IN_SCOPE: _NO_HELPDESK,
    Reason.HEADER_NOT_IN_SCOPE: _NO_HELPDESK,
    Reason.FROM_MISSING: _UNREADABLE,
    Reason.FROM_SEVERAL_FIELDS: _UNREADABLE,
    Reason.FROM_TOO_LONG: _UNREADABLE,
    Reason.FROM_MALFORMED: _UNREADABLE,
    Reason.FROM_SEVERAL_MAILBOXES: _UNREADABLE,
    Reason.EXEMPT: _BY_RULE,
    Reason.EXEMPT_ENVELOPE: _BY_RULE,
    Reason.SPF_ALIGNED: msgid("The SPF record of {domain} names our mail server."),
    Reason.DKIM_ALIGNED: msgid("The mail is signed with a DKIM key of {domain}."),
    Reason.ENVELOPE_ALIGNED: msgid("The SPF record of {domain} names our mail server."),
    Reason.OWN_DOMAIN: _OUR_DOMAIN,
    Reason.OWN_DOMAIN_ENVELOPE: _OUR_DOMAIN,
    Reason.ALWAYS: _NOBODY_VOUCHES,
    Reason.FREEMAIL: msgid(
        "{domain} belongs to a mailbox provider, which cannot name our mail server in its DNS."
    ),
    Reason.DNS_UNKNOWN: msgid(
        "When we looked, the DNS of {domain} did not answer everything that other mail servers "
        "ask."
    ),
    Reason.UNALIGNED: _NOBODY_VOUCHES,
    Reason.RELAY_NOT_AUTHORISED: msgid(
        "The SPF record of {domain} does not name our mail server, so that other mail servers "
        "take this mail for a forgery, and may block it."
    ),
    Reason.RELAY_PARTLY_AUTHORISED: msgid(
        "The SPF record of {domain} names some addresses of our mail server, but not all of them, "
        "so that a part of this mail would be blocked."
    ),
    Reason.RECIPIENT_DOMAIN: msgid(
        "The mail servers of {domain} would block mail from your own addresses that comes from "
        "outside, unless the DNS of {domain} vouches for our mail server."
    ),
    Reason.POLICY_NOT_COVERED: _NOBODY_VOUCHES,
    Reason.POLICY_NOT_COVERED_ENVELOPE: _NOBODY_VOUCHES,
    Reason.REWRITE_WOULD_FAIL: _NOBODY_VOUCHES,
    Reason.REWRITE_FAILS: _NOBODY_VOUCHES,
    Reason.TOO_MANY_FIELDS: _UNREADABLE,
    Reason.INTERNAL_ERROR: _OUR_FAULT,
}


def say_reason(reason: Reason, domain: str, texts: Texts, prediction: Prediction | None) -> str:
    """Say why mail of *domain* is treated as it is; *prediction* tells it more exactly."""
    sentence = _SENTENCES[reason]
    if reason is Reason.RELAY_NOT_AUTHORISED and _has_no_record(prediction):
        sentence = _NO_SPF_RECORD
    return texts.text(sentence, domain=domain)


def _has_no_record(prediction: Prediction | None) -> bool:
    return prediction is not None and all(spf.result is SpfResult.NONE for spf in prediction.spf)
