"""Counts what comes to a ledger from those who are not its service, for metrics.

The sums of a ledger shrink, when it is thinned out and when a domain is forgotten; a counter must
not. So what came is what one look finds more than the one before, day by day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from alignd.ledger.batch import DAY
from alignd.ledger.database import day_of
from alignd.ledger.event import EventKind
from alignd.ledger.tables import EVENTS, REPLIES, REPORT_ROWS, REPORTS

_LATE_DAYS = 7
"""For so long after a day its replies may still come: a log that is read late."""
_LATE_REPORT_DAYS = 14
"""The same of reports, which come a day or two later, to a mailbox that is read late."""


@dataclass(frozen=True, slots=True)
class Told:
    """What receivers have said by one moment."""

    at: float
    """That moment, as a Unix time."""
    replies: Mapping[tuple[int, str], int]
    """Messages of the last days, by day and by what the reply is beside the prediction."""
    events: Mapping[int, int]
    """Events of the kind REJECTED of these days, by day."""
    reported: Mapping[tuple[int, str, str], int]
    """Messages in reports of the last days, by day, by whose mail it is and by its result; but for
    mail that rules leave alone although it fails."""
    reports: int
    """All that are known."""
    newest: float
    """The end of the latest of them by now, as a Unix time; 0 for none."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What came between two moments."""

    replies: Mapping[str, int]
    """Messages, by what the reply is beside the prediction."""
    reported: Mapping[tuple[str, str], int]
    """Messages in reports, by whose mail it is and by its result."""
    events: int


def told(connection: Connection, leg: str, now: float) -> Told:
    """What receivers have said by *now*.

    Raises:
        LedgerError: the database cannot be used.
    """
    first = _first_day(now, _LATE_DAYS)
    key = (REPLIES.c.day, REPLIES.c.kind)
    sums = select(*key, func.sum(REPLIES.c.messages)).where(REPLIES.c.day >= first).group_by(*key)
    replies = {(day, kind): int(messages) for day, kind, messages in connection.execute(sums)}
    events = select(day_of(connection, EVENTS.c.at).label("day")).where(
        EVENTS.c.at >= first, EVENTS.c.kind == EventKind.REJECTED.value, EVENTS.c.leg == leg
    )
    by_day = Counter(connection.execute(events).scalars())
    reported = _reported(connection, _first_day(now, _LATE_REPORT_DAYS))
    reports = connection.execute(select(func.count()).select_from(REPORTS)).scalar_one()
    # Whoever has a clock that is ahead would hide for long that no more reports come.
    ends = select(func.max(REPORTS.c.end)).where(REPORTS.c.end <= now)
    newest = float(connection.execute(ends).scalar() or 0)
    return Told(now, replies, by_day, reported, int(reports), newest)


def growth(before: Told, after: Told) -> Growth:
    """What *after* has more than *before*, of the days of both."""
    # What was earlier is not new because a clock was set back.
    first = _first_day(before.at, _LATE_DAYS)
    replies = Counter[str]()
    for (day, kind), messages in after.replies.items():
        if day >= first:
            replies[kind] += max(0, messages - before.replies.get((day, kind), 0))
    first_reported = _first_day(before.at, _LATE_REPORT_DAYS)
    reported = Counter[tuple[str, str]]()
    for key, messages in after.reported.items():
        if key[0] >= first_reported:
            reported[key[1:]] += max(0, messages - before.reported.get(key, 0))
    events = sum(
        max(0, number - before.events.get(day, 0))
        for day, number in after.events.items()
        if day >= first
    )
    return Growth(+replies, +reported, events)


def _reported(connection: Connection, first: int) -> Mapping[tuple[int, str, str], int]:
    columns = REPORT_ROWS.c
    key = (columns.first_day, columns.origin, columns.result)
    is_counted = (columns.first_day >= first, ~columns.is_foretold)
    sums = select(*key, func.sum(columns.messages)).where(*is_counted).group_by(*key)
    return {
        (day, origin, result): int(messages)
        for day, origin, result, messages in connection.execute(sums)
    }


def _first_day(now: float, days: int) -> int:
    """The day with which the last *days* begin."""
    return (int(now) // DAY - days) * DAY
