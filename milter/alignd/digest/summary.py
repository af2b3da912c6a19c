"""Counts what a digest says: numbers, changes, the most rewritten domains, silent relays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alignd.digest.facts import NO_NAMES, Facts, most_rewritten
from alignd.digest.week import Week
from alignd.ledger.event import EventKind, Rejection
from alignd.ledger.queries.events import MAX_EVENTS, DomainEvent
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.queries.traffic import Traffic

TOLD = (
    *(EventKind.REJECTED, EventKind.BEGAN, EventKind.PARTLY, EventKind.STOPPED),
    *(EventKind.POLICY, EventKind.ANOTHER_TENANT, EventKind.UNKNOWN, EventKind.FLAPPING),
)
"""The kinds of changes that are told, in that order."""
_WHOLE = 100  # per cent


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a week comes to."""

    messages: int
    rewritten: int
    domains: int
    """Author domains, those without a name of their own aside."""

    @property
    def percent(self) -> int:
        """The part that is rewritten; 0 and 100 are none and all."""
        if self.rewritten in (0, self.messages):
            return _WHOLE if self.rewritten else 0
        return min(max(1, round(_WHOLE * self.rewritten / self.messages)), _WHOLE - 1)


@dataclass(frozen=True, slots=True)
class Change:
    """What changed of a domain; the last time, if it did more than once."""

    domain: str
    tenant: str
    at: float
    policy_before: str
    """A word of `Policy`."""
    policy: str
    receiver: str = ""
    """Who refuses its mail."""


@dataclass(frozen=True, slots=True)
class RewrittenDomain:
    """A domain with much rewritten mail."""

    domain: str
    messages: int
    rewritten: int
    reason: str
    """Why it is rewritten now, a word of `Reason`; empty where it is not."""


@dataclass(frozen=True, slots=True)
class Summary:
    """All that a digest says."""

    week: Week
    tenant: str | None
    numbers: Numbers
    before: Numbers
    """Those of the week before."""
    changes: Mapping[EventKind, tuple[Change, ...]]
    """By kind, each domain once, the one with the most messages first."""
    has_all_changes: bool
    """False where there were more than are read."""
    most_rewritten: tuple[RewrittenDomain, ...]
    silent_relays: tuple[RelayRow, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not (self.numbers.messages or self.changes or self.silent_relays)

    def count(self, kind: EventKind) -> int:
        """How many domains changed so."""
        return len(self.changes.get(kind, ()))


def summarise(facts: Facts) -> Summary:
    """Count *facts*."""
    return Summary(
        facts.week,
        facts.tenant,
        _numbers(facts.traffic),
        _numbers(facts.traffic_before),
        _changes(facts),
        len(facts.events) < MAX_EVENTS,
        tuple(_rewritten_domain(facts, domain) for domain in most_rewritten(facts.traffic)),
        tuple(relay for relay in facts.relays if relay.is_silent),
    )


def _numbers(traffic: Iterable[Traffic]) -> Numbers:
    rows = tuple(traffic)
    return Numbers(
        sum(row.messages for row in rows),
        sum(row.rewritten for row in rows),
        len({row.domain for row in rows} - NO_NAMES),
    )


def _changes(facts: Facts) -> dict[EventKind, tuple[Change, ...]]:
    messages = Counter[str]()
    for row in facts.traffic:
        messages[row.domain] += row.messages
    found = {kind: _changes_of(kind, facts.events, messages) for kind in TOLD}
    return {kind: changes for kind, changes in found.items() if changes}


def _changes_of(
    kind: EventKind, events: Iterable[DomainEvent], messages: Mapping[str, int]
) -> tuple[Change, ...]:
    last: dict[tuple[str, str], Change] = {}
    for event in events:
        if event.kind != kind.value or not event.domain:
            continue
        # Two tenants can begin to send as one domain; all else is of the domain itself.
        key = event.domain, event.tenant if kind is EventKind.ANOTHER_TENANT else ""
        last.setdefault(key, _change(event))
    by_messages = sorted(
        last.values(), key=lambda each: (-messages.get(each.domain, 0), each.domain)
    )
    return tuple(by_messages)


def _change(event: DomainEvent) -> Change:
    was, now = (str(each.get("policy", "")) for each in (event.was, event.now))
    tenant = str(event.now.get("tenant", event.tenant))
    receiver = Rejection.of(event.now).receiver
    return Change(event.domain, tenant, event.at, was, now, receiver)


def _rewritten_domain(facts: Facts, domain: str) -> RewrittenDomain:
    rows = [row for row in facts.traffic if row.domain == domain]
    states = [row for row in facts.states if row.domain == domain and row.is_rewritten]
    busiest = max(states, key=lambda row: row.messages, default=None)
    return RewrittenDomain(
        domain,
        sum(row.messages for row in rows),
        sum(row.rewritten for row in rows),
        busiest.finding.reason if busiest else "",
    )
