"""All rows of a ledger, for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from sqlalchemy import Column, Connection, Table, select

from alignd.ledger.apply import OUTBOUND
from alignd.ledger.tables import DAYS, EVENTS, HOURS, REPLIES, REPORT_ROWS, REPORTS, STATES

_AT_A_TIME = 1000  # rows in memory


class Exported(Enum):
    """What can be had."""

    DAYS = "days"
    HOURS = "hours"
    STATES = "states"
    EVENTS = "events"
    REPLIES = "replies"
    REPORTS = "reports"
    REPORT_ROWS = "report-rows"


_TABLES: dict[Exported, tuple[Table, Column[Any]]] = {
    Exported.DAYS: (DAYS, DAYS.c.day),
    Exported.HOURS: (HOURS, HOURS.c.hour),
    Exported.STATES: (STATES, STATES.c.since),
    Exported.EVENTS: (EVENTS, EVENTS.c.at),
    Exported.REPLIES: (REPLIES, REPLIES.c.day),
    Exported.REPORTS: (REPORTS, REPORTS.c.end),
    Exported.REPORT_ROWS: (REPORT_ROWS, REPORT_ROWS.c.last_day),
}
TIMES = frozenset(
    {"day", "hour", "at", "since", "first_seen", "last_seen", "looked", "look_at"}
    | {"pending_since", "unknown_since", "first_day", "last_day", "begin", "end", "read_at"}
)
"""The columns that are Unix times."""
WHOLE_DAYS = frozenset({"day", "first_day", "last_day"})
"""Those of them at which a day begins."""
JSON_TEXTS = frozenset({"was", "now", "pending"})
"""The columns that are JSON, or empty."""


def columns(exported: Exported) -> tuple[str, ...]:
    table, _ = _TABLES[exported]
    return tuple(column.name for column in table.columns)


def export(
    connection: Connection, exported: Exported, leg: str, since: float
) -> Iterator[tuple[Any, ...]]:
    """The rows of *leg* from the Unix time *since* on, however many, in the order of their keys.

    What receivers said is all of mail that went out.

    Raises:
        LedgerError: the database cannot be used.
    """
    table, time = _TABLES[exported]
    question = select(table).where(time >= since)
    if "leg" in table.c:
        question = question.where(table.c.leg == leg)
    elif leg != OUTBOUND:
        return
    if exported is Exported.EVENTS:
        question = question.order_by(time)
    question = question.order_by(*table.primary_key).execution_options(yield_per=_AT_A_TIME)
    for row in connection.execute(question):
        yield tuple(row)
