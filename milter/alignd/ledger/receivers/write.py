"""Adds what receivers said to a ledger, within the transaction of whoever calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select

from alignd.ledger.database import add_up, insert
from alignd.ledger.event import Event
from alignd.ledger.fleet import shipments
from alignd.ledger.receivers.rows import KnownReport, ReplyKey, ReportKey
from alignd.ledger.tables import REPLIES, REPORT_ROWS, REPORTS
from alignd.ledger.watch.states import write_events

_MANY = 500  # values in one question


def add_replies(
    connection: Connection,
    replies: Mapping[ReplyKey, int],
    events: Sequence[Event],
    source: str,
    number: int,
) -> bool:
    """Add the messages of *replies*, and write *events*, which are told as all others are.

    *source* counts what it adds by *number*, upwards: what was added is not added again, and False
    says so. Its name is no other's, such as that of a relay with a random end.

    Raises:
        LedgerError: the database cannot be used.
    """
    if not shipments.is_new(connection, source, number):
        return False
    rows = [{**key._asdict(), "messages": messages} for key, messages in replies.items()]
    add_up(connection, REPLIES, rows, "messages")
    write_events(connection, events)
    return True


def add_report(
    connection: Connection, report: KnownReport, rows: Mapping[ReportKey, int], now: float
) -> bool:
    """Add the messages of a report, which is read at *now*; False if it was there already.

    Raises:
        LedgerError: the database cannot be used.
    """
    known = insert(connection, REPORTS).values({**asdict(report), "read_at": now})
    statement = known.on_conflict_do_nothing().returning(REPORTS.c.id)
    if connection.execute(statement).first() is None:
        return False
    counts = [{**key._asdict(), "messages": messages} for key, messages in rows.items()]
    add_up(connection, REPORT_ROWS, counts, "messages")
    return True


def known_reports(connection: Connection, ids: Iterable[str]) -> frozenset[str]:
    """Those of *ids* whose reports are there.

    Raises:
        LedgerError: the database cannot be used.
    """
    wanted = sorted(set(ids))
    found: set[str] = set()
    for start in range(0, len(wanted), _MANY):
        some = REPORTS.c.id.in_(wanted[start : start + _MANY])
        found.update(connection.execute(select(REPORTS.c.id).where(some)).scalars())
    return frozenset(found)
