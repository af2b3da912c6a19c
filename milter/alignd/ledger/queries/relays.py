"""The relays that write to a ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from alignd.ledger.batch import HOUR
from alignd.ledger.tables import RELAY_HOURS, RELAYS

SILENT_SECONDS = 600.0
"""Without a word of a relay, which says each minute that it is alive, before it is silent."""
_SHOWN_HOURS = 24


@dataclass(frozen=True, slots=True)
class RelayRow:
    """One service of a relay."""

    relay: str
    leg: str
    first_seen: float
    last_seen: float
    version: str
    digest: str
    """That of its configuration file."""
    is_dry_run: bool
    is_silent: bool
    last_day: int
    """Messages of the last 24 hours, skipped ones and all."""


def relays(connection: Connection, now: float, leg: str | None = None) -> list[RelayRow]:
    """The relays of *leg*, or of both, by name, at the Unix time *now*.

    Raises:
        LedgerError: the database cannot be used.
    """
    first = (int(now) // HOUR - _SHOWN_HOURS + 1) * HOUR
    keys = (RELAY_HOURS.c.relay, RELAY_HOURS.c.leg)
    sums = select(*keys, func.sum(RELAY_HOURS.c.messages)).where(RELAY_HOURS.c.hour >= first)
    counts = {
        (relay, of): int(messages)
        for relay, of, messages in connection.execute(sums.group_by(*keys))
    }
    question = select(RELAYS).order_by(RELAYS.c.relay, RELAYS.c.leg)
    if leg is not None:
        question = question.where(RELAYS.c.leg == leg)
    return [
        RelayRow(
            row.relay,
            row.leg,
            row.first_seen,
            row.last_seen,
            row.version,
            row.digest,
            bool(row.dry_run),
            row.last_seen < now - SILENT_SECONDS,
            counts.get((row.relay, row.leg), 0),
        )
        for row in connection.execute(question)
    ]
