"""The questions about a span of time: what changed, how much mail, and what receivers said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import Connection

from alignd.ledger.queries.events import DomainEvent, events_between
from alignd.ledger.queries.traffic import Traffic, traffic
from alignd.ledger.receivers.read import TooLargeError, receivers
from alignd.ledger.receivers.rows import (
    PredictedDay,
    Receivers,
    ReplyKey,
    ReportKey,
    Rewriting,
)
from alignd.ledger.window import protocol
from alignd.ledger.window.protocol import MalformedError, Obstacle, WindowError
from alignd.ledger.window.question import LEGS, MAX_ROWS, Row, require_columns


@dataclass(frozen=True, slots=True)
class Span:
    """A time, and whose mail: what reports are about."""

    leg: str
    tenant: str | None
    """A label; empty for the general options, None for all."""
    since: float
    until: float
    """Before that."""

    def __post_init__(self) -> None:
        protocol.one_of(self.leg, LEGS)
        if self.tenant is not None:
            protocol.name(self.tenant)
        protocol.time(self.since)
        protocol.time(self.until)

    @property
    def fields(self) -> dict[str, Any]:
        """What JSON has of it."""
        times = {"since": self.since, "until": self.until}
        return {"leg": self.leg, "tenant": self.tenant, **times}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Read *fields* of JSON.

        Raises:
            MalformedError: they are others, or have values that they cannot have.
        """
        protocol.require_names(fields, "leg", "tenant", "since", "until")
        tenant = fields["tenant"]
        return cls(
            protocol.text(fields["leg"]),
            None if tenant is None else protocol.text(tenant),
            protocol.time(fields["since"]),
            protocol.time(fields["until"]),
        )


@dataclass(frozen=True, slots=True)
class _OfSpan:
    """A question that is about a span, and says nothing else."""

    span: Span

    @property
    def fields(self) -> dict[str, Any]:
        return self.span.fields

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        return cls(Span.of(fields))


@dataclass(frozen=True, slots=True)
class EventsQuestion(_OfSpan):
    """What changed in that time?"""

    word: ClassVar[str] = "events"

    def ask(self, connection: Connection) -> list[DomainEvent]:
        span = self.span
        return events_between(connection, span.leg, span.tenant, span.since, span.until)

    def rows(self, connection: Connection) -> Iterator[Row]:
        for each in self.ask(connection):
            said = dict(each.was), dict(each.now)
            yield [each.at, each.tenant, each.domain, each.kind, *said, each.relay]

    def read(self, rows: Iterable[Row]) -> list[DomainEvent]:
        return [_domain_event(row) for row in rows]


@dataclass(frozen=True, slots=True)
class TrafficQuestion(_OfSpan):
    """How many messages had each domain on the days of that time?"""

    word: ClassVar[str] = "traffic"

    def ask(self, connection: Connection) -> list[Traffic]:
        span, limit = self.span, MAX_ROWS + 1
        key = (span.leg, span.tenant, span.since, span.until)
        found = traffic(connection, *key, limit=limit)
        if len(found) == limit:
            raise WindowError(Obstacle.TOO_LARGE, f"over {MAX_ROWS} domains; ask for some of them")
        return found

    def rows(self, connection: Connection) -> Iterator[Row]:
        for each in self.ask(connection):
            yield [each.tenant, each.domain, each.messages, each.rewritten]

    def read(self, rows: Iterable[Row]) -> list[Traffic]:
        return [_traffic(row) for row in rows]


@dataclass(frozen=True, slots=True)
class ReceiversQuestion:
    """What did receivers say of the mail of these days?"""

    span: Span
    domain: str | None = None
    """None for all."""

    word: ClassVar[str] = "receivers"

    def __post_init__(self) -> None:
        if self.domain is not None and not protocol.name(self.domain):
            raise MalformedError("not a domain")

    @property
    def fields(self) -> dict[str, Any]:
        return {**self.span.fields, "domain": self.domain}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        protocol.require_names(fields, "leg", "tenant", "domain", "since", "until")
        domain = fields["domain"]
        span = {name: value for name, value in fields.items() if name != "domain"}
        return cls(Span.of(span), None if domain is None else protocol.text(domain))

    def ask(self, connection: Connection) -> Receivers:
        span = self.span
        key = (span.leg, span.tenant, self.domain, span.since, span.until)
        try:
            return receivers(connection, *key, limit=MAX_ROWS)
        except TooLargeError as error:
            raise WindowError(Obstacle.TOO_LARGE, str(error)) from error

    def rows(self, connection: Connection) -> Iterator[Row]:
        found = self.ask(connection)
        yield ["reports", found.reports, found.newest]
        for reply, messages in found.replies:
            yield ["reply", *reply, messages]
        for key, messages in found.rows:
            yield ["row", *key, messages]
        for day in found.days:
            yield ["day", *day]
        for change in found.changes:
            yield ["change", *change]
        for rewriting in found.rewriting:
            yield ["rewriting", *rewriting]

    def read(self, rows: Iterable[Row]) -> Receivers:
        reports, newest = 0, 0.0
        replies: list[tuple[ReplyKey, int]] = []
        reported: list[tuple[ReportKey, int]] = []
        days: list[PredictedDay] = []
        changes: set[tuple[int, str]] = set()
        rewriting: list[Rewriting] = []
        for row in rows:
            match row:
                case ["reports", *found]:
                    number, end = require_columns(found, 2)
                    reports, newest = protocol.count(number), protocol.number(end)
                case ["reply", *found]:
                    replies.append(_reply(found))
                case ["row", *found]:
                    reported.append(_reported(found))
                case ["day", *found]:
                    days.append(_predicted(found))
                case ["change", *found]:
                    day, domain = require_columns(found, 2)
                    changes.add((protocol.count(day), protocol.text(domain)))
                case ["rewriting", *found]:
                    rewriting.append(_rewriting(found))
                case _:
                    raise MalformedError("a row of another kind")
        said = tuple(replies), tuple(reported)
        more = frozenset(changes), tuple(rewriting)
        return Receivers(*said, reports, newest, tuple(days), *more)


def _domain_event(row: Row) -> DomainEvent:
    at, tenant, domain, kind, was, now, relay = require_columns(row, 7)
    tenant, domain, kind, relay = map(protocol.text, (tenant, domain, kind, relay))
    said = protocol.mapping(was), protocol.mapping(now)
    return DomainEvent(protocol.number(at), tenant, domain, kind, *said, relay)


def _traffic(row: Row) -> Traffic:
    tenant, domain, messages, rewritten = require_columns(row, 4)
    counts = protocol.count(messages), protocol.count(rewritten)
    return Traffic(protocol.text(tenant), protocol.text(domain), *counts)


def _reply(row: Row) -> tuple[ReplyKey, int]:
    day, *words, messages = require_columns(row, len(ReplyKey._fields) + 1)
    key = ReplyKey(protocol.count(day), *map(protocol.text, words))
    return key, protocol.count(messages)


def _reported(row: Row) -> tuple[ReportKey, int]:
    first, last, *words, is_foretold, messages = require_columns(row, len(ReportKey._fields) + 1)
    reporter, origin, domain, address, result, dkim, spf, disposition = map(protocol.text, words)
    key = ReportKey(
        *(protocol.count(first), protocol.count(last)),
        *(reporter, origin, domain, address),
        *(result, dkim, spf, disposition),
        is_foretold=protocol.flag(is_foretold),
    )
    return key, protocol.count(messages)


def _predicted(row: Row) -> PredictedDay:
    day, *words, messages = require_columns(row, len(PredictedDay._fields))
    domain, action, reason = map(protocol.text, words)
    return PredictedDay(protocol.count(day), domain, action, reason, protocol.count(messages))


def _rewriting(row: Row) -> Rewriting:
    domain, reason, messages, late, aligned, is_over = require_columns(row, len(Rewriting._fields))
    words = protocol.text(domain), protocol.text(reason)
    messages, late, aligned = map(protocol.count, (messages, late, aligned))
    return Rewriting(*words, messages, late, aligned, protocol.flag(is_over))
