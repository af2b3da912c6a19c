"""The questions that may be asked of a ledger from outside: there are seven.

Each knows what it asks of a connection, and how it and its answer are spelled in JSON. Those about
a span of time are in `spans`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import Connection

from alignd.judgement.reasons import Action
from alignd.ledger.answer import Finding
from alignd.ledger.queries.history import DayCount, History, PastEvent, history
from alignd.ledger.queries.overview import (
    SHOWN_DAYS,
    DomainRow,
    Order,
    Selection,
    count_of,
    other_messages,
    overview,
)
from alignd.ledger.queries.relays import RelayRow, relays
from alignd.ledger.window import protocol
from alignd.ledger.window.protocol import MalformedError, Obstacle, WindowError
from alignd.ledger.window.question import LEGS, MAX_ROWS, Row, require_columns
from alignd.ledger.window.spans import EventsQuestion, ReceiversQuestion, TrafficQuestion

_MAX_WILDCARDS = 8
_WILDCARDS = "*?"
_ACTIONS = frozenset(each.value for each in Action)
_ORDERS = {each.value: each for each in Order}
_WORDS = _TIMES = 5  # of a row


@dataclass(frozen=True, slots=True)
class OverviewQuestion:
    """Which author domains are there?"""

    selection: Selection
    now: float
    order: Order = Order.MESSAGES

    word: ClassVar[str] = "overview"

    def __post_init__(self) -> None:
        _check_selection(self.selection)
        protocol.time(self.now)

    @property
    def fields(self) -> dict[str, Any]:
        selection = _selection_fields(self.selection)
        return {"selection": selection, "now": self.now, "order": self.order.value}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        protocol.require_names(fields, "selection", "now", "order")
        order = protocol.one_of(fields["order"], frozenset(_ORDERS))
        now = protocol.time(fields["now"])
        return cls(_selection(fields["selection"]), now, _ORDERS[order])

    def ask(self, connection: Connection) -> list[DomainRow]:
        if (domains := count_of(connection, self.selection)) > MAX_ROWS:
            raise WindowError(Obstacle.TOO_LARGE, f"{domains} domains; ask for some of them")
        return overview(connection, self.selection, self.now, self.order)

    def rows(self, connection: Connection) -> Iterator[Row]:
        return map(_domain_row, self.ask(connection))

    def read(self, rows: Iterable[Row]) -> list[DomainRow]:
        return [_domain(row) for row in rows]


@dataclass(frozen=True, slots=True)
class OtherMessagesQuestion:
    """How many messages has no domain?"""

    selection: Selection
    now: float

    word: ClassVar[str] = "other-messages"

    def __post_init__(self) -> None:
        _check_selection(self.selection)
        protocol.time(self.now)

    @property
    def fields(self) -> dict[str, Any]:
        return {"selection": _selection_fields(self.selection), "now": self.now}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        protocol.require_names(fields, "selection", "now")
        return cls(_selection(fields["selection"]), protocol.time(fields["now"]))

    def ask(self, connection: Connection) -> int:
        return other_messages(connection, self.selection, self.now)

    def rows(self, connection: Connection) -> Iterator[Row]:
        yield [self.ask(connection)]

    def read(self, rows: Iterable[Row]) -> int:
        found = [protocol.count(each) for row in rows for each in row]
        if len(found) != 1:
            raise MalformedError("not one number")
        return found[0]


@dataclass(frozen=True, slots=True)
class HistoryQuestion:
    """What happened to a domain?"""

    leg: str
    domain: str
    since: float
    now: float

    word: ClassVar[str] = "history"

    def __post_init__(self) -> None:
        protocol.one_of(self.leg, LEGS)
        if not protocol.name(self.domain) or any(each in self.domain for each in _WILDCARDS):
            raise MalformedError("not a domain")
        protocol.time(self.since)
        protocol.time(self.now)

    @property
    def fields(self) -> dict[str, Any]:
        return {"leg": self.leg, "domain": self.domain, "since": self.since, "now": self.now}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        protocol.require_names(fields, "leg", "domain", "since", "now")
        words = protocol.text(fields["leg"]), protocol.text(fields["domain"])
        return cls(*words, protocol.time(fields["since"]), protocol.time(fields["now"]))

    def ask(self, connection: Connection) -> History:
        return history(connection, self.leg, self.domain, self.since, self.now)

    def rows(self, connection: Connection) -> Iterator[Row]:
        found = self.ask(connection)
        for state in found.states:
            yield ["state", *_domain_row(state)]
        for day in found.days:
            yield ["day", day.day, day.tenant, day.action, day.reason, day.messages]
        for event in found.events:
            was, now = dict(event.was), dict(event.now)
            yield ["event", event.at, event.tenant, event.kind, was, now]

    def read(self, rows: Iterable[Row]) -> History:
        states: list[DomainRow] = []
        days: list[DayCount] = []
        events: list[PastEvent] = []
        for row in rows:
            match row:
                case ["state", *columns]:
                    states.append(_domain(columns))
                case ["day", *columns]:
                    days.append(_day(columns))
                case ["event", *columns]:
                    events.append(_event(columns))
                case _:
                    raise MalformedError("a row of another kind")
        return History(self.leg, self.domain, tuple(states), tuple(days), tuple(events))


@dataclass(frozen=True, slots=True)
class RelaysQuestion:
    """Which relays write to it?"""

    now: float
    leg: str | None = None
    """None for both."""

    word: ClassVar[str] = "relays"

    def __post_init__(self) -> None:
        protocol.time(self.now)
        if self.leg is not None:
            protocol.one_of(self.leg, LEGS)

    @property
    def fields(self) -> dict[str, Any]:
        return {"now": self.now, "leg": self.leg}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        protocol.require_names(fields, "now", "leg")
        leg = fields["leg"]
        return cls(protocol.time(fields["now"]), None if leg is None else protocol.text(leg))

    def ask(self, connection: Connection) -> list[RelayRow]:
        return relays(connection, self.now, self.leg)

    def rows(self, connection: Connection) -> Iterator[Row]:
        for each in self.ask(connection):
            times = each.first_seen, each.last_seen
            flags = each.is_dry_run, each.is_silent
            yield [each.relay, each.leg, *times, each.version, each.digest, *flags, each.last_day]

    def read(self, rows: Iterable[Row]) -> list[RelayRow]:
        return [_relay(row) for row in rows]


AnyQuestion = (
    OverviewQuestion
    | OtherMessagesQuestion
    | HistoryQuestion
    | RelaysQuestion
    | EventsQuestion
    | TrafficQuestion
    | ReceiversQuestion
)
_QUESTIONS: dict[str, type[AnyQuestion]] = {
    each.word: each
    for each in (
        *(OverviewQuestion, OtherMessagesQuestion, HistoryQuestion, RelaysQuestion),
        *(EventsQuestion, TrafficQuestion, ReceiversQuestion),
    )
}


def read_question(line: bytes) -> AnyQuestion:
    """What *line*, without its end, asks.

    Raises:
        WindowError: nothing that may be asked.
    """
    word, fields = protocol.decode_question(line)
    try:
        protocol.one_of(word, frozenset(_QUESTIONS))
        return _QUESTIONS[word].of(fields)
    except MalformedError as error:
        raise WindowError(Obstacle.MALFORMED, f"not a question: {error}") from error


def _check_selection(selection: Selection) -> None:
    protocol.one_of(selection.leg, LEGS)
    for action in selection.actions:
        protocol.one_of(action, _ACTIONS)
    if len(selection.actions) > len(_ACTIONS):
        raise MalformedError("more actions than there are")
    if selection.tenant is not None:
        protocol.name(selection.tenant)
    protocol.name(selection.pattern)
    # What a pattern costs grows with each of them.
    if sum(selection.pattern.count(each) for each in _WILDCARDS) > _MAX_WILDCARDS:
        raise MalformedError("too many wildcards")
    protocol.time(selection.since)


def _selection_fields(selection: Selection) -> dict[str, Any]:
    return {
        "leg": selection.leg,
        "actions": list(selection.actions),
        "tenant": selection.tenant,
        "pattern": selection.pattern,
        "since": selection.since,
    }


def _selection(value: object) -> Selection:
    fields = protocol.mapping(value)
    protocol.require_names(fields, "leg", "actions", "tenant", "pattern", "since")
    tenant = fields["tenant"]
    return Selection(
        protocol.text(fields["leg"]),
        tuple(protocol.text(each) for each in protocol.items(fields["actions"])),
        None if tenant is None else protocol.text(tenant),
        protocol.text(fields["pattern"]),
        protocol.time(fields["since"]),
    )


def _domain_row(row: DomainRow) -> Row:
    found = row.finding
    words = [found.action, found.reason, found.policy, found.spf, found.dkim]
    times = [row.since, row.first_seen, row.last_seen, row.looked, row.unknown_since]
    return [row.tenant, row.domain, words, times, row.by_day, row.rewritten, row.last_day]


def _domain(row: Row) -> DomainRow:
    tenant, domain, words, times, by_day, rewritten, last_day = require_columns(row, 7)
    finding = [protocol.text(each) for each in require_columns(words, _WORDS)]
    since, first_seen, last_seen, looked, unknown_since = map(
        protocol.number, require_columns(times, _TIMES)
    )
    return DomainRow(
        protocol.text(tenant),
        protocol.text(domain),
        Finding(*finding),
        since,
        first_seen,
        last_seen,
        looked,
        unknown_since,
        tuple(protocol.count(each) for each in require_columns(by_day, SHOWN_DAYS)),
        protocol.count(rewritten),
        protocol.count(last_day),
    )


def _day(columns: Row) -> DayCount:
    day, tenant, action, reason, messages = require_columns(columns, 5)
    tenant, action, reason = map(protocol.text, (tenant, action, reason))
    return DayCount(protocol.count(day), tenant, action, reason, protocol.count(messages))


def _event(columns: Row) -> PastEvent:
    at, tenant, kind, was, now = require_columns(columns, 5)
    tenant, kind = map(protocol.text, (tenant, kind))
    return PastEvent(
        protocol.number(at), tenant, kind, protocol.mapping(was), protocol.mapping(now)
    )


def _relay(row: Row) -> RelayRow:
    relay, leg, first_seen, last_seen, version, digest, dry_run, silent, last_day = (
        require_columns(row, 9)
    )
    return RelayRow(
        protocol.text(relay),
        protocol.text(leg),
        protocol.number(first_seen),
        protocol.number(last_seen),
        protocol.text(version),
        protocol.text(digest),
        protocol.flag(dry_run),
        protocol.flag(silent),
        protocol.count(last_day),
    )
