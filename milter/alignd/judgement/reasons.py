"""What each word of the log means, and its fix: actions, reasons, limits and errors.

The log, the trace field, `alignd explain`, `alignd reasons` and alignd-reasons(7) use these words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """What happens to a message."""

    SKIP = "skip"
    PASS = "pass"  # noqa: S105
    ENVELOPE = "envelope"
    REWRITE = "rewrite"


class Reason(Enum):
    """Why; the values are stable words for logs, the trace field and scripts."""

    CLIENT_NOT_IN_SCOPE = "client-not-in-scope"
    HEADER_NOT_IN_SCOPE = "header-not-in-scope"

    EXEMPT = "exempt"
    SPF_ALIGNED = "spf-aligned"
    DKIM_ALIGNED = "dkim-aligned"
    OWN_DOMAIN = "own-domain"
    POLICY_NOT_COVERED = "policy-not-covered"

    ENVELOPE_ALIGNED = "envelope-aligned"

    FROM_MISSING = "from-missing"
    FROM_SEVERAL_FIELDS = "from-several-fields"
    FROM_TOO_LONG = "from-too-long"
    FROM_MALFORMED = "from-malformed"
    FROM_SEVERAL_MAILBOXES = "from-several-mailboxes"
    ALWAYS = "always"
    FREEMAIL = "freemail"
    RECIPIENT_DOMAIN = "recipient-domain"
    DNS_UNKNOWN = "dns-unknown"
    UNALIGNED = "unaligned"
    RELAY_NOT_AUTHORISED = "relay-not-authorised"
    RELAY_PARTLY_AUTHORISED = "relay-partly-authorised"
    INTERNAL_ERROR = "internal-error"


class Failure(Enum):
    """What the log has as the action where alignd failed to judge or to change a message."""

    FALLBACK = "fallback"
    TEMPFAIL = "tempfail"


class Limit(Enum):
    """What the log has as the limit where a message was not kept whole."""

    HEADER = "max_header_bytes"
    BODY = "max_body_bytes"


class Refusal(Enum):
    """What the log has as the error where the MTA does not let us work."""

    NO_ENVELOPE = "no-envelope"
    EDITS_REFUSED = "edits-refused"


Word = Action | Reason | Failure | Limit | Refusal


class Rule(Enum):
    """The rules, in the words and numbers of the README's "How it decides"."""

    SCOPE = "Is it a helpdesk message?"
    AUTHOR = "Who is the author?"
    EXEMPT = "Rule 1"
    ALIGNED = "Rule 2"
    ENVELOPE = "Rule 3"
    OURS = "Rule 4"
    ALWAYS = "Rule 5"
    POLICY = "Rule 6"
    RECIPIENT = "Rule 7"
    OTHERWISE = "Rule 8"


@dataclass(frozen=True, slots=True)
class Entry:
    """What there is to say of one word."""

    meaning: str
    """A clause, without a full stop."""
    fix: str
    """What a supporter or operator does about it: sentences."""
    rule: Rule | None = None
    """The rule that it comes from; None for what is no reason of a decision."""
    options: tuple[str, ...] = ()
    """The options that have a say in it."""


def key_of(word: Word) -> str:
    """The key that *word* stands behind in a log line."""
    match word:
        case Action() | Failure():
            return "action"
        case Reason():
            return "reason"
        case Limit():
            return "limit"
        case Refusal():
            return "error"


def find(text: str) -> Word | None:
    """The word that is spelled *text*; None when there is none."""
    return next((word for word in ENTRIES if word.value == text), None)


_NOTHING = "None needed."
_ONE_MAILBOX = (
    "Have the application write one From field with one mailbox, in the grammar of RFC 5322: "
    "`alignd explain` says what is wrong with this one."
)
_ENVELOPE_ADVICE = (
    "`alignd domain` prints the SPF record that the company has to publish. Its DKIM key for the "
    "signer behind alignd would do as well."
)

ENTRIES: dict[Word, Entry] = {
    Action.SKIP: Entry("it is no helpdesk message, and is left alone", _NOTHING),
    Action.PASS: Entry("it is left alone, byte for byte", _NOTHING),
    Action.ENVELOPE: Entry("only the envelope sender moves, to the author", _NOTHING),
    Action.REWRITE: Entry(
        "From moves to the notifications domain, and Reply-To leads to the author",
        "The reason says what would make it unnecessary.",
    ),
    Failure.FALLBACK: Entry(
        "alignd failed to judge it, and rewrites it without; a second line has the outcome",
        "It is a bug: please report the error of this line.",
    ),
    Failure.TEMPFAIL: Entry(
        "alignd failed to change it, so that it got a temporary failure and nothing left",
        "It is a bug: please report the error of this line. In the queue-first layout Postfix "
        "tries again by itself.",
    ),
    Reason.CLIENT_NOT_IN_SCOPE: Entry(
        "the client is in none of helpdesk.networks, and nobody logged in",
        "If it is a helpdesk's, add its network to helpdesk.networks, or let it log in.",
        Rule.SCOPE,
        ("helpdesk.networks", "helpdesk.authenticated"),
    ),
    Reason.HEADER_NOT_IN_SCOPE: Entry(
        "a field that helpdesk.headers asks for is missing or different",
        "If it is a helpdesk's message, correct helpdesk.headers to what it really has.",
        Rule.SCOPE,
        ("helpdesk.headers",),
    ),
    Reason.EXEMPT: Entry(
        "rules.exempt names the author domain: it is never touched",
        "If receivers block its mail, remove the domain from rules.exempt.",
        Rule.EXEMPT,
        ("rules.exempt",),
    ),
    Reason.SPF_ALIGNED: Entry(
        "SPF passes from every relay address, for a domain that aligns with the author domain",
        _NOTHING,
        Rule.ALIGNED,
    ),
    Reason.DKIM_ALIGNED: Entry(
        "a DKIM signature that receivers will verify aligns with the author domain",
        "None needed, while nothing behind alignd changes the message or stops the signer.",
        Rule.ALIGNED,
    ),
    Reason.ENVELOPE_ALIGNED: Entry(
        "the author domain authorises this relay; only the envelope sender was elsewhere",
        "None needed. Bounces go to the author; rules.align_envelope = false would rewrite "
        "instead.",
        Rule.ENVELOPE,
        ("rules.align_envelope",),
    ),
    Reason.OWN_DOMAIN: Entry(
        "it is from the notifications domain already",
        "If receivers block it, fix SPF or DKIM of the notifications domain.",
        Rule.OURS,
        ("notifications.address",),
    ),
    Reason.ALWAYS: Entry(
        "rules.always names the author domain, and the message is not aligned",
        "If it need not be, remove the domain from rules.always.",
        Rule.ALWAYS,
        ("rules.always",),
    ),
    Reason.FREEMAIL: Entry(
        "the author domain is a mailbox provider's, which can never authorise this relay",
        "The agent uses an address of the company's own domain.",
        Rule.ALWAYS,
        ("rules.freemail",),
    ),
    Reason.DNS_UNKNOWN: Entry(
        "DNS did not answer, so nobody can say that it would pass",
        "If it lasts, look at the nameservers of alignd, then at those of the author domain: "
        "`alignd explain` names the question that failed.",
        Rule.POLICY,
        ("rules.rewrite_on", "dns.nameservers", "dns.timeout", "dns.stale"),
    ),
    Reason.UNALIGNED: Entry(
        "the domain that SPF judges, that of the envelope sender, does not align with the "
        "author domain",
        "The application sends with the author's address as envelope sender, or the company has "
        "its mail signed with its own DKIM key behind alignd.",
        Rule.POLICY,
        ("rules.rewrite_on", "rules.align_envelope"),
    ),
    Reason.RELAY_NOT_AUTHORISED: Entry(
        "the SPF record of the author domain does not authorise this relay",
        _ENVELOPE_ADVICE,
        Rule.POLICY,
        ("rules.rewrite_on",),
    ),
    Reason.RELAY_PARTLY_AUTHORISED: Entry(
        "the SPF record of the author domain authorises some addresses of this relay, not all",
        f"Often the IPv6 address is the one that is missing. {_ENVELOPE_ADVICE}",
        Rule.POLICY,
        ("rules.rewrite_on", "relay.addresses"),
    ),
    Reason.RECIPIENT_DOMAIN: Entry(
        "a recipient is in the author domain, whose gateway blocks its own domain from outside",
        _ENVELOPE_ADVICE,
        Rule.RECIPIENT,
    ),
    Reason.POLICY_NOT_COVERED: Entry(
        "rules.rewrite_on asks to leave it, though it would not pass",
        'If receivers block it, set rules.rewrite_on = "unaligned".',
        Rule.OTHERWISE,
        ("rules.rewrite_on",),
    ),
    Reason.FROM_MISSING: Entry("there is no From field", _ONE_MAILBOX, Rule.AUTHOR),
    Reason.FROM_SEVERAL_FIELDS: Entry(
        "there is more than one From field, and receivers differ", _ONE_MAILBOX, Rule.AUTHOR
    ),
    Reason.FROM_TOO_LONG: Entry("From is too long to be read safely", _ONE_MAILBOX, Rule.AUTHOR),
    Reason.FROM_MALFORMED: Entry(
        "From does not follow RFC 5322, and receivers differ", _ONE_MAILBOX, Rule.AUTHOR
    ),
    Reason.FROM_SEVERAL_MAILBOXES: Entry(
        "From names more than one mailbox, and receivers differ", _ONE_MAILBOX, Rule.AUTHOR
    ),
    Reason.INTERNAL_ERROR: Entry(
        "alignd failed to judge it, which is a bug",
        "Please report the log line before it, with action=fallback: it says where it failed.",
    ),
    Limit.HEADER: Entry(
        "its header is larger than is kept, and what lies beyond is not read",
        "Raise milter.max_header_bytes if such mail is wanted.",
        options=("milter.max_header_bytes",),
    ),
    Limit.BODY: Entry(
        "its body is larger than is kept, so that DKIM signatures on it do not count",
        "Raise milter.max_body_bytes if they have to.",
        options=("milter.max_body_bytes",),
    ),
    Refusal.NO_ENVELOPE: Entry(
        "the MTA ended a message that it never began, and got a temporary failure",
        "It does not speak the milter protocol well: look at what connects to the socket.",
    ),
    Refusal.EDITS_REFUSED: Entry(
        "the MTA does not let alignd change messages, so that it got a temporary failure",
        "Set milter_protocol = 6 in main.cf, or leave it at its default.",
        options=("milter.socket",),
    ),
}
"""Every word of the log, in the order of its key, and reasons in the order of the rules."""
