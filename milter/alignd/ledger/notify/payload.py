"""What is told of an event: JSON for programs, with a sentence for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alignd.judgement.reasons import Reason, Word
from alignd.judgement.words import find
from alignd.ledger.event import Event, EventKind, Rejection, object_in

_ABOUT_RELAYS = {EventKind.SILENT_RELAY: "relay.silent", EventKind.HEARD_RELAY: "relay.heard"}
_TIMES = {"since", "first_seen", "last_seen"}  # of `was` and `now`: Unix time
_NOT_PUBLISHED = {
    Reason.RELAY_NOT_AUTHORISED.value,
    Reason.RELAY_PARTLY_AUTHORISED.value,
}
_SPF_PASSES = {Reason.SPF_ALIGNED.value, Reason.ENVELOPE_ALIGNED.value}


def payload(event: Event) -> str:
    """The JSON of *event*: the same text whenever it is asked for."""
    change = _Change.of(event)
    data = {
        "id": event.id,
        "kind": event.kind.value,
        "domain": event.domain,
        "tenant": event.tenant,
        "leg": event.leg,
        "was": _with_readable_times(change.was),
        "now": _with_readable_times(change.now),
        "since": _iso(change.since),
        "noticed_by": event.relay,
        "text": sentence(event),
    }
    document = {"type": type_of(event.kind), "timestamp": _iso(event.at), "data": data}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def type_of(kind: EventKind) -> str:
    """The type of an event as Standard Webhooks spells one, such as `domain.stopped`."""
    return _ABOUT_RELAYS.get(kind) or f"domain.{kind.value.replace('-', '_')}"


def sentence(event: Event) -> str:
    """What has happened, for people."""
    return _SENTENCES[event.kind](_Change.of(event))


@dataclass(frozen=True, slots=True)
class _Change:
    """An event, read."""

    event: Event
    was: Mapping[str, Any]
    now: Mapping[str, Any]

    @classmethod
    def of(cls, event: Event) -> _Change:
        return cls(event, object_in(event.was), object_in(event.now))

    @property
    def domain(self) -> str:
        return self.event.domain

    @property
    def since(self) -> float:
        since = self.now.get("since")
        return float(since) if isinstance(since, int | float) else self.event.at

    @property
    def moment(self) -> str:
        """Since when, for people; wherever they are."""
        return datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M UTC")

    @property
    def relay(self) -> str:
        """The relay that it is about."""
        return str(self.now.get("relay") or self.was.get("relay") or self.event.relay)


def _began(change: _Change) -> str:
    return f"Mail of {change.domain} is rewritten since {change.moment}{_because(change.now)}"


def _stopped(change: _Change) -> str:
    was, now = change.was.get("reason"), change.now.get("reason")
    kept = f"its agents keep their names since {change.moment}."
    if was in _NOT_PUBLISHED and now in _SPF_PASSES:
        return f"{change.domain} has published the record; {kept}"
    if now == Reason.DKIM_ALIGNED.value:
        return f"Mail of {change.domain} has a DKIM signature of its own; {kept}"
    word = _reason(change.now)
    because = f" ({word.text.meaning})" if word else ""
    return f"Mail of {change.domain} is no longer rewritten{because}; {kept}"


def _partly(change: _Change) -> str:
    why = _because(change.now)
    return f"{change.domain} authorises this relay in part since {change.moment}{why}"


def _policy(change: _Change) -> str:
    before, after = _policy_of(change.was), _policy_of(change.now)
    return f"{change.domain} has {after} in place of {before} since {change.moment}."


def _unknown(change: _Change) -> str:
    return f"DNS does not answer for {change.domain} since {change.moment}."


def _known(change: _Change) -> str:
    return f"DNS answers for {change.domain} again, and says what it said before."


def _another_tenant(change: _Change) -> str:
    tenant = _tenant(change.now.get("tenant", change.event.tenant))
    others = " and ".join(_tenant(each) for each in change.was.get("tenants", ()))
    before = f", which only {others} did before" if others else ""
    return f"Mail of {change.domain} now comes from {tenant} too{before}."


def _flapping(change: _Change) -> str:
    return (
        f"What DNS says of {change.domain} changes again and again: no more is told of it for a "
        "day. Its nameservers may not agree."
    )


def _rejected(change: _Change) -> str:
    said = Rejection.of(change.now)
    receiver = said.receiver or "A receiver"
    count = "1 message" if said.messages == 1 else f"{said.messages} messages"
    how = f"({count} within an hour; it says {said.pattern or 'no word that is known'})"
    domain, see = change.domain, "`alignd feedback` says what helps."
    match said.kind:
        case "lost":
            return (
                f"{receiver} refuses mail of {domain} as not authenticated {how}. It was expected "
                f"to pass, and was left alone: it is lost. {see}"
            )
        case "outage":
            return (
                f"{receiver} refuses mail that was rewritten {how}: the notifications domain does "
                "not pass there, and all rewritten mail to it is lost. Run `alignd doctor`."
            )
        case "envelope":
            return f"{receiver} refuses the envelope sender of mail of {domain} {how}. {see}"
    return f"{receiver} refuses mail of {domain}, against what was predicted {how}. {see}"


def _silent_relay(change: _Change) -> str:
    return f"Relay {change.relay} has written nothing to the ledger since {change.moment}."


def _heard_relay(change: _Change) -> str:
    return f"Relay {change.relay} writes to the ledger again."


_SENTENCES = {
    EventKind.BEGAN: _began,
    EventKind.STOPPED: _stopped,
    EventKind.PARTLY: _partly,
    EventKind.POLICY: _policy,
    EventKind.UNKNOWN: _unknown,
    EventKind.KNOWN: _known,
    EventKind.ANOTHER_TENANT: _another_tenant,
    EventKind.FLAPPING: _flapping,
    EventKind.REJECTED: _rejected,
    EventKind.SILENT_RELAY: _silent_relay,
    EventKind.HEARD_RELAY: _heard_relay,
}


def _because(finding: Mapping[str, Any]) -> str:
    """Why it is so, and what would help; the end of a sentence, and what follows it."""
    word = _reason(finding)
    return f": {word.text.meaning}. {word.text.fix}" if word else "."


def _reason(finding: Mapping[str, Any]) -> Word | None:
    return find(str(finding.get("reason", "")))


def _policy_of(finding: Mapping[str, Any]) -> str:
    policy = str(finding.get("policy", ""))
    return f"the DMARC policy {policy}" if policy not in {"", "absent"} else "no DMARC policy"


def _tenant(label: str) -> str:
    return f"tenant {label}" if label else "a helpdesk under the general options"


def _with_readable_times(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _iso(value) if name in _TIMES and isinstance(value, int | float) else value
        for name, value in said.items()
    }


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
