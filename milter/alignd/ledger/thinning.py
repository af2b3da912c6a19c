"""Deletes what is older than a ledger keeps, a little at a time."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column, Engine, Table, delete, func, select

from alignd.config.settings import Keep
from alignd.ledger.tables import ADMITTED, DAYS, EVENTS, HOURS, RELAY_HOURS, STATES

ADMITTED_SECONDS = 30 * 86_400.0
"""For so long a domain that sends nothing keeps its right to rows of its own. At most 5,000 come
in a day, so that those who try all names in the world never use up the room for customers."""
_STEP = 3600.0  # seconds


def thin_out(engine: Engine, keep: Keep, now: float) -> int:
    """Delete what is too old at the Unix time *now*; the number of rows.

    Each transaction deletes what is of one hour, so that none is long.

    Raises:
        LedgerError: the database cannot be used; what was deleted is.
    """
    return sum(
        _delete(engine, table, column, before) for table, column, before in _aged(keep, now)
    )


def _aged(keep: Keep, now: float) -> Iterator[tuple[Table, Column[float] | Column[int], float]]:
    hours, days = now - keep.hours, now - keep.days
    yield HOURS, HOURS.c.hour, hours
    yield RELAY_HOURS, RELAY_HOURS.c.hour, hours
    yield DAYS, DAYS.c.day, days
    yield EVENTS, EVENTS.c.at, days
    yield STATES, STATES.c.last_seen, days
    yield ADMITTED, ADMITTED.c.seen, now - ADMITTED_SECONDS


def _delete(
    engine: Engine, table: Table, column: Column[float] | Column[int], before: float
) -> int:
    deleted = 0
    while True:
        with engine.begin() as connection:
            oldest = connection.execute(select(func.min(column)).where(column < before)).scalar()
            if oldest is None:
                return deleted
            some = delete(table).where(column < min(before, oldest + _STEP))
            deleted += connection.execute(some).rowcount
