"""Says to supporters what happens to the mail of a domain and why, in one language.

What is the same to the owner of the domain is said as in his letter (`letter.reasons`).
"""

from __future__ import annotations

from alignd.judgement.prediction import Prediction
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.words import find
from alignd.languages.texts import Texts, msgid
from alignd.letter.letter import NoLetter
from alignd.letter.reasons import say_reason
from alignd.web.views.badges import state_word

_OUTCOMES = {
    Action.SKIP: msgid("Mail of {domain} goes out as it is."),
    Action.PASS: msgid("Mail of {domain} goes out from the agents' own addresses."),
    Action.ENVELOPE: msgid(
        "Mail of {domain} goes out from the agents' own addresses; only the return path, which "
        "recipients do not see, is changed."
    ),
    Action.REWRITE: msgid(
        "Mail of {domain} goes out from our own address, with the agents' names."
    ),
    Action.REFUSE: msgid("Mail of {domain} is refused, and its sender hears of it."),
    Action.FORWARD: msgid("Mail to {domain} goes on as it came."),
    Action.DEFER: msgid("Mail of {domain} is put off, and sent again later."),
}
_BY_CONFIGURATION = msgid(
    "The configuration says so: the option {option} is why, and the operator can change it."
)
_NOT_COVERED = msgid(
    "Nothing in the DNS of {domain} vouches for our mail server, but its DMARC policy is not one "
    "for which the configuration has mail rewritten (rules.rewrite_on)."
)
_OUR_OWN_FAILS = msgid(
    "Nothing in the DNS of {domain} vouches for our mail server, and mail from our own address "
    "would fail as well: the operator finds out why with “alignd doctor”."
)
_REASONS = {
    Reason.CLIENT_NOT_IN_SCOPE: msgid("It does not come from a helpdesk that we know."),
    Reason.HEADER_NOT_IN_SCOPE: msgid(
        "It lacks a header field by which we know the mail of a helpdesk."
    ),
    Reason.UNALIGNED: msgid(
        "The return path of the mail is at another domain than {domain}, so that what SPF says "
        "does not count for it."
    ),
    Reason.RECIPIENT_DOMAIN: msgid(
        "A recipient is at {domain} as well, and its mail servers would block mail from their "
        "own addresses that comes from outside."
    ),
    Reason.POLICY_NOT_COVERED: _NOT_COVERED,
    Reason.POLICY_NOT_COVERED_ENVELOPE: _NOT_COVERED,
    Reason.REWRITE_WOULD_FAIL: _OUR_OWN_FAILS,
    Reason.REWRITE_FAILS: _OUR_OWN_FAILS,
    Reason.TOO_MANY_FIELDS: msgid(
        "The message has more header fields than could be changed: something is wrong with the "
        "program that sent it."
    ),
    Reason.INTERNAL_ERROR: msgid(
        "Our program failed to judge the message: the operator finds the fault in its log."
    ),
}
_OPTIONS = {
    Reason.EXEMPT: "rules.exempt",
    Reason.EXEMPT_ENVELOPE: "rules.exempt",
    Reason.ALWAYS: "rules.always",
}
_NOTHING_TO_ASK = {
    NoLetter.PASSES: msgid("Nothing has to be published: the mail passes as it is."),
    NoLetter.FREEMAIL: msgid(
        "No record helps: the domain belongs to a mailbox provider. The agents need addresses at "
        "a domain of their own company."
    ),
    NoLetter.UNKNOWN: msgid(
        "DNS did not answer everything, so nobody can say yet which record would help."
    ),
    NoLetter.NO_RECORD_HELPS: msgid("No record would help as things are."),
    NoLetter.NO_SUCH_RECORD: msgid("There is no such record to choose."),
}


def what_happens(action: Action, domain: str, texts: Texts, *, is_dry_run: bool = False) -> str:
    """What happens to the mail of *domain*."""
    if is_dry_run and action in {Action.REWRITE, Action.ENVELOPE, Action.REFUSE}:
        return texts.text(
            "Mail of {domain} goes out as it is, since alignd is only being tried out (dry run); "
            "otherwise it would be: {state}.",
            domain=domain,
            state=state_word(action.value, texts),
        )
    return texts.text(_OUTCOMES[action], domain=domain)


def why(reason: Reason, domain: str, texts: Texts, prediction: Prediction | None = None) -> str:
    """Why that happens; *prediction* tells it more exactly."""
    if option := _OPTIONS.get(reason):
        return texts.text(_BY_CONFIGURATION, option=option)
    if sentence := _REASONS.get(reason):
        return texts.text(sentence, domain=domain)
    return say_reason(reason, domain, texts, prediction)


def why_of_word(word: str, domain: str, texts: Texts) -> str:
    """The same of a reason's word in the ledger; empty for one that only a later alignd knows."""
    found = find(word)
    return why(found, domain, texts) if isinstance(found, Reason) else ""


def nothing_to_ask(cause: NoLetter, texts: Texts) -> str:
    """Why there is no record to publish."""
    return texts.text(_NOTHING_TO_ASK[cause])
