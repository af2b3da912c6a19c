"""Says what happened: the events of the ledger, and what a check found changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from alignd.judgement.reasons import Action
from alignd.languages.texts import Texts, msgid
from alignd.ledger.event import EventKind, Rejection
from alignd.ledger.queries.history import PastEvent
from alignd.mail.printable import printable, record_text
from alignd.mailauth.dmarc import Policy
from alignd.web.desk.examined import (
    Change,
    Checked,
    CheckOutcome,
    CheckProblem,
    DkimChanged,
    PolicyChanged,
    ReasonChanged,
    RecordPublished,
    RecordRemoved,
    SpfChanged,
    TooSoon,
    Trouble,
)
from alignd.web.views.badges import state_word
from alignd.web.views.sentences import why
from alignd.web.views.times import moment

MAX_SHOWN = 400
"""Characters of a record in a sentence."""
_EVENTS = {
    EventKind.BEGAN: msgid("Mail of {domain} began to be rewritten."),
    EventKind.STOPPED: msgid("Mail of {domain} keeps the agents' own addresses from now on."),
    EventKind.PARTLY: msgid("{domain} began to vouch for a part of our mail server's addresses."),
    EventKind.UNKNOWN: msgid("The DNS of {domain} stopped answering."),
    EventKind.KNOWN: msgid("The DNS of {domain} answers again, as it did before."),
    EventKind.ANOTHER_TENANT: msgid("A second tenant began to send as {domain}: {tenant}."),
    EventKind.FLAPPING: msgid(
        "What DNS says of {domain} changes again and again, so nothing is told of it for a day."
    ),
    EventKind.REJECTED: msgid(
        "A receiver refuses mail of {domain}, against what was expected. `alignd feedback` says "
        "more."
    ),
    EventKind.SILENT_RELAY: msgid("The relay {relay} writes nothing any more."),
    EventKind.HEARD_RELAY: msgid("The relay {relay} writes again."),
}
_REJECTED = {
    "lost": msgid(
        "{receiver} refuses mail of {domain} that was left alone, because it does not pass there."
    ),
    "outage": msgid(
        "{receiver} refuses mail that was rewritten: our own domain does not pass there."
    ),
    "envelope": msgid("{receiver} refuses the envelope sender of mail of {domain}."),
}
"""By what the reply is beside the prediction; see `Rejection`."""
_POLICY_BECAME = {
    Policy.REJECT: msgid("The DMARC policy of {domain} is “reject” now."),
    Policy.QUARANTINE: msgid("The DMARC policy of {domain} is “quarantine” now."),
    Policy.NONE: msgid("The DMARC policy of {domain} is “none” now."),
    Policy.ABSENT: msgid("{domain} has no DMARC record any more."),
    Policy.UNKNOWN: msgid("DNS does not say any more which DMARC policy {domain} has."),
}
_ANOTHER_POLICY = msgid("{domain} has another DMARC policy.")
_SOMETHING = msgid("Something happened that this page does not know: {kind}.")
_TROUBLES = {
    Trouble.DNS: msgid("DNS did not answer everything, so nobody can say what would happen now."),
    Trouble.BUSY: msgid("Too many domains are being looked at. Try again in a moment."),
    Trouble.TIMEOUT: msgid("DNS takes too long to answer. Try again in a moment."),
    Trouble.NO_AUTHOR: msgid("No mail can come from such a name."),
    Trouble.INTERNAL: msgid("The check failed. The fault is on our side."),
    Trouble.CLOSED: msgid("This service is being restarted. Try again in a moment."),
}
OF_THE_DOMAIN = frozenset(
    {
        *(EventKind.BEGAN, EventKind.STOPPED, EventKind.PARTLY),
        *(EventKind.POLICY, EventKind.UNKNOWN, EventKind.KNOWN),
    }
)
"""What is told of the domain itself, and of nobody else."""


class Tone(Enum):
    """How a notice looks: the end of its class."""

    GOOD = "good"
    BAD = "bad"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a check found, above the rest of the page."""

    tone: Tone
    sentence: str
    changes: tuple[str, ...] = ()


def say_event(event: PastEvent, domain: str, texts: Texts) -> str:
    """What an event of *domain* says; of a kind of a later alignd, only that it was one."""
    kind = kind_of(event)
    if kind is EventKind.POLICY:
        return _say_policy(event.now, domain, texts)
    if kind is EventKind.REJECTED:
        return _say_rejected(Rejection.of(event.now), domain, texts)
    if kind is None:
        return texts.text(_SOMETHING, kind=printable(event.kind))
    return texts.text(
        _EVENTS[kind],
        domain=domain,
        tenant=printable(str(event.now.get("tenant", event.tenant))),
        relay=printable(str(event.now.get("relay") or event.was.get("relay") or "")),
    )


def kind_of(event: PastEvent) -> EventKind | None:
    """Its kind; None for one that only a later alignd knows."""
    try:
        return EventKind(event.kind)
    except ValueError:
        return None


def say_trouble(problem: CheckProblem, texts: Texts) -> str:
    """Why a domain could not be looked at."""
    return texts.text(_TROUBLES[problem.trouble])


def check_notice(outcome: CheckOutcome, texts: Texts) -> Notice:
    """What came of looking anew."""
    if isinstance(outcome, TooSoon):
        return Notice(Tone.INFO, _say_too_soon(outcome, texts))
    if isinstance(outcome, CheckProblem):
        return Notice(Tone.BAD, say_trouble(outcome, texts))
    now = outcome.now
    changes = tuple(say_change(each, now.domain.name, texts) for each in outcome.changes)
    if now.advice.is_unknown:
        return Notice(Tone.BAD, say_trouble(CheckProblem(Trouble.DNS), texts), changes)
    tone = Tone.GOOD if now.advice.authenticates else Tone.INFO
    return Notice(tone, _say_looked(outcome, texts), (*changes, *_say_cached(outcome, texts)))


def _say_looked(outcome: Checked, texts: Texts) -> str:
    at = moment(outcome.now.looked_at, texts)
    if outcome.before is None:
        return texts.text("Looked at {moment}.", moment=at)
    if not outcome.changes:
        return texts.text("Looked at {moment}: nothing has changed.", moment=at)
    return texts.text("Looked at {moment}. This has changed:", moment=at)


def _say_cached(outcome: Checked, texts: Texts) -> Iterator[str]:
    if outcome.is_seen_by_mail is False:
        yield texts.text(
            "The change is published, but mail may meet the old answer for a while: it is still "
            "kept in a cache of DNS."
        )


def say_change(change: Change, domain: str, texts: Texts) -> str:
    """What differs between two looks at *domain*."""
    match change:
        case ReasonChanged(was, now):
            return _say_reason_changed(was.action, change, domain, texts)
        case SpfChanged(address, was, now):
            return texts.text(
                "SPF for {address}: it was {was}, and is {now} now.",
                address=address,
                was=was.value,
                now=now.value,
            )
        case DkimChanged():
            return _say_dkim_changed(change, texts)
        case PolicyChanged(_, now):
            return texts.text(_POLICY_BECAME[now], domain=domain)
        case RecordPublished(name, kind, value):
            return texts.text(
                "A {kind} record of {name} is published: {value}",
                kind=kind.value,
                name=name,
                value=shown(value),
            )
        case RecordRemoved(name, kind, value):
            return texts.text(
                "A {kind} record of {name} is gone: {value}",
                kind=kind.value,
                name=name,
                value=shown(value),
            )


def shown(record: bytes, most: int = MAX_SHOWN) -> str:
    """A record for people, cut where it is longer than anybody reads."""
    return cut(record_text(record), most)


def cut(text: str, most: int) -> str:
    """*text* without what cannot be printed, and at most so long."""
    text = printable(text)
    return text if len(text) <= most else f"{text[:most]} ..."


def _say_reason_changed(was: Action, change: ReasonChanged, domain: str, texts: Texts) -> str:
    if not change.changes_action:
        return why(change.now, domain, texts)
    return texts.text(
        "Mail of {domain}: it was “{was}”, and is “{now}” now.",
        domain=domain,
        was=state_word(was.value, texts),
        now=state_word(change.now.action.value, texts),
    )


def _say_dkim_changed(change: DkimChanged, texts: Texts) -> str:
    name, selector = change.domain, printable(change.selector)
    if change.now is None:
        return texts.text(
            "There is no signature with the DKIM key {selector} of {domain} any more.",
            selector=selector,
            domain=name,
        )
    if change.was is None:
        return texts.text(
            "There is a signature with the DKIM key {selector} of {domain} now: {now}.",
            selector=selector,
            domain=name,
            now=change.now.value,
        )
    return texts.text(
        "The signature with the DKIM key {selector} of {domain}: it was {was}, and is {now} now.",
        selector=selector,
        domain=name,
        was=change.was.value,
        now=change.now.value,
    )


def _say_too_soon(outcome: TooSoon, texts: Texts) -> str:
    seconds = max(1, int(-(-outcome.seconds // 1)))
    return texts.plural(
        "It was looked at a moment ago. You can look again in a second.",
        "It was looked at a moment ago. You can look again in {n} seconds.",
        seconds,
    )


def _say_rejected(said: Rejection, domain: str, texts: Texts) -> str:
    if not said.receiver or said.kind not in _REJECTED:
        return texts.text(_EVENTS[EventKind.REJECTED], domain=domain)
    return texts.text(_REJECTED[said.kind], receiver=printable(said.receiver), domain=domain)


def _say_policy(now: Mapping[str, Any], domain: str, texts: Texts) -> str:
    try:
        sentence = _POLICY_BECAME[Policy(str(now.get("policy", "")))]
    except ValueError:
        sentence = _ANOTHER_POLICY
    return texts.text(sentence, domain=domain)
