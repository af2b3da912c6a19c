"""Deletes what is older than a ledger keeps, a little at a time."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column, Engine, Table, delete, select, tuple_

from alignd.config.settings import Keep
from alignd.ledger.tables import (
    ADMITTED,
    DAYS,
    EVENTS,
    HOURS,
    RELAY_HOURS,
    RELAYS,
    REPLIES,
    REPORT_ROWS,
    REPORTS,
    STATES,
)

ADMITTED_SECONDS = 30 * 86_400.0
"""For so long a domain that sends nothing keeps its right to rows of its own. At most 5,000 come
in a day, so that those who try all names in the world never use up the room for customers."""
_STEP = 2_000  # rows


def thin_out(engine: Engine, keep: Keep, now: float) -> int:
    """Delete what is too old at the Unix time *now*; the number of rows.

    Raises:
        LedgerError: the database cannot be used; what was deleted is.
    """
    return sum(steps(engine, keep, now))


def steps(engine: Engine, keep: Keep, now: float) -> Iterator[int]:
    """Do the same in transactions of a moment, each when its number of rows is asked for."""
    for table, column, before in _aged(keep, now):
        while deleted := _delete_some(engine, table, column, before):
            yield deleted


def _aged(keep: Keep, now: float) -> Iterator[tuple[Table, Column[float] | Column[int], float]]:
    hours, days = now - keep.hours, now - keep.days
    yield HOURS, HOURS.c.hour, hours
    yield RELAY_HOURS, RELAY_HOURS.c.hour, hours
    yield DAYS, DAYS.c.day, days
    yield REPLIES, REPLIES.c.day, days
    # A report that is known no more would count again, so its rows go before it does.
    yield REPORT_ROWS, REPORT_ROWS.c.last_day, days
    yield REPORTS, REPORTS.c.end, days
    yield EVENTS, EVENTS.c.at, days
    yield STATES, STATES.c.last_seen, days
    yield RELAYS, RELAYS.c.last_seen, days
    yield ADMITTED, ADMITTED.c.seen, now - ADMITTED_SECONDS


def _delete_some(
    engine: Engine, table: Table, column: Column[float] | Column[int], before: float
) -> int:
    keys = tuple_(*table.primary_key)
    oldest = select(*table.primary_key).where(column < before).order_by(*table.primary_key)
    # Asked once more of the row itself: a message may have come for it meanwhile.
    some = delete(table).where(keys.in_(oldest.limit(_STEP)), column < before)
    with engine.begin() as connection:
        return connection.execute(some).rowcount
