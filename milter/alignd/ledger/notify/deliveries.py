"""The deliveries of a ledger: which events a target waits for, and what came of each attempt.

Every function works within the transaction of whoever calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, Select, func, literal, select, update
from sqlalchemy.sql.elements import ColumnElement

from alignd.ledger.database import insert
from alignd.ledger.event import Event, EventKind
from alignd.ledger.tables import DELIVERIES, EVENTS

LASTING = 3 * 86_400.0
"""Seconds from an event on in which it is told."""
MOST_WAITING = 10_000
"""Events that one target waits for; beyond it the oldest are given up."""
_KINDS = [kind.value for kind in EventKind]
_COLUMNS = [EVENTS.c[field.name] for field in fields(Event)]


@dataclass(frozen=True, slots=True)
class Choice:
    """The events that are told."""

    kinds: Sequence[str] = ()
    """Words of `EventKind`; empty for all."""
    tenants: Sequence[str] = ()
    """Labels; empty for all."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is due to be told."""

    event: Event
    attempts: int
    """Those that have failed."""


def queue(connection: Connection, target: str, choice: Choice, now: float) -> None:
    """Have *target* wait for those of the last days that it has not waited for yet."""
    has_row = (DELIVERIES.c.event == EVENTS.c.id) & (DELIVERIES.c.target == target)
    new = select(EVENTS.c.id, literal(target), literal(0), literal(now)).where(
        EVENTS.c.at > now - LASTING,
        EVENTS.c.kind.in_(choice.kinds or _KINDS),
        ~select(DELIVERIES.c.event).where(has_row).exists(),
    )
    if choice.tenants:
        new = new.where(EVENTS.c.tenant.in_(choice.tenants))
    new = new.order_by(EVENTS.c.id)  # who forgets a domain locks its events in this order, too
    statement = insert(connection, DELIVERIES).from_select(
        ["event", "target", "attempts", "next_at"], new
    )
    connection.execute(statement.on_conflict_do_nothing())


def give_up(connection: Connection, target: str, now: float, most: int = MOST_WAITING) -> int:
    """Wait no more for what is too old, nor for more than *most*; how many were given up."""
    too_old = select(EVENTS.c.id).where(EVENTS.c.at <= now - LASTING)
    number = _end(connection, target, too_old)
    if (excess := waiting(connection, target) - most) > 0:
        oldest = select(DELIVERIES.c.event).join(EVENTS, EVENTS.c.id == DELIVERIES.c.event)
        oldest = oldest.where(_waits(target)).order_by(EVENTS.c.at).limit(excess)
        number += _end(connection, target, oldest)
    return number


def waiting(connection: Connection, target: str) -> int:
    """How many events *target* waits for."""
    question = select(func.count()).select_from(DELIVERIES).where(_waits(target))
    return int(connection.execute(question).scalar_one())


def due(connection: Connection, target: str, now: float, most: int) -> list[Delivery]:
    """What *target* is to be told now, the oldest events first."""
    question = (
        select(*_COLUMNS, DELIVERIES.c.attempts)
        .join(EVENTS, EVENTS.c.id == DELIVERIES.c.event)
        .where(_waits(target), DELIVERIES.c.next_at <= now)
        .order_by(EVENTS.c.at, EVENTS.c.id)
        .limit(most)
    )
    return [Delivery(_event(row[:-1]), row.attempts) for row in connection.execute(question)]


def note_told(connection: Connection, target: str, event: str, now: float) -> None:
    connection.execute(
        update(DELIVERIES).where(_is(target, event)).values(next_at=0, told_at=now, problem="")
    )


def note_failed(
    connection: Connection, target: str, event: str, next_at: float, problem: str
) -> None:
    connection.execute(
        update(DELIVERIES)
        .where(_is(target, event), DELIVERIES.c.next_at > 0)
        .values(attempts=DELIVERIES.c.attempts + 1, next_at=next_at, problem=problem)
    )


def hurry(connection: Connection, target: str, now: float) -> None:
    """Make all that *target* waits for due: it takes events again."""
    connection.execute(update(DELIVERIES).where(_waits(target)).values(next_at=now))


def _end(connection: Connection, target: str, events: Select[str]) -> int:
    """Wait no more for *events*, which may be more than a statement has parameters."""
    among = DELIVERIES.c.event.in_(events.scalar_subquery())
    statement = update(DELIVERIES).where(_waits(target), among).values(next_at=0)
    return connection.execute(statement).rowcount


def _waits(target: str) -> ColumnElement[bool]:
    return (DELIVERIES.c.target == target) & (DELIVERIES.c.next_at > 0)


def _is(target: str, event: str) -> ColumnElement[bool]:
    return (DELIVERIES.c.target == target) & (DELIVERIES.c.event == event)


def _event(values: Sequence[str | float]) -> Event:
    row = dict(zip((column.name for column in _COLUMNS), values, strict=True))
    return Event(**row | {"kind": EventKind(row["kind"])})  # type: ignore[arg-type]
