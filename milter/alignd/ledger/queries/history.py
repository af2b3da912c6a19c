"""What happened to one author domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from alignd.ledger.batch import DAY
from alignd.ledger.event import object_in
from alignd.ledger.queries.overview import DomainRow, Selection, overview
from alignd.ledger.tables import DAYS, EVENTS


@dataclass(frozen=True, slots=True)
class DayCount:
    """Messages of one day that met the same."""

    day: int
    """The Unix time at which it begins, UTC."""
    tenant: str
    action: str
    reason: str
    messages: int


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event of the domain."""

    at: float
    tenant: str
    kind: str
    """A word of `EventKind`, or of a later alignd."""
    was: Mapping[str, Any]
    now: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """All that the ledger knows of a domain."""

    leg: str
    domain: str
    states: tuple[DomainRow, ...]
    """One of each tenant that sends as the domain, the one with the most messages first."""
    days: tuple[DayCount, ...]
    """The newest first."""
    events: tuple[PastEvent, ...]
    """The newest first."""

    @property
    def is_known(self) -> bool:
        return bool(self.states or self.days or self.events)


def history(connection: Connection, leg: str, domain: str, since: float, now: float) -> History:
    """What happened to *domain* from the Unix time *since* on; its states whatever that is.

    Raises:
        LedgerError: the database cannot be used.
    """
    return History(
        leg,
        domain,
        tuple(overview(connection, Selection(leg, pattern=domain), now)),
        tuple(_days(connection, leg, domain, since)),
        tuple(_events(connection, leg, domain, since)),
    )


def _days(connection: Connection, leg: str, domain: str, since: float) -> list[DayCount]:
    days = DAYS.c
    question = (
        select(days.day, days.tenant, days.action, days.reason, days.messages)
        .where(days.domain == domain, days.leg == leg, days.day >= int(since) // DAY * DAY)
        .order_by(days.day.desc(), days.messages.desc(), days.tenant, days.action, days.reason)
    )
    return [DayCount(*row) for row in connection.execute(question)]


def _events(connection: Connection, leg: str, domain: str, since: float) -> list[PastEvent]:
    events = EVENTS.c
    question = (
        select(events.at, events.tenant, events.kind, events.was, events.now)
        .where(events.domain == domain, events.leg == leg, events.at >= since)
        .order_by(events.at.desc(), events.id)
    )
    return [
        PastEvent(at, tenant, kind, object_in(was), object_in(now))
        for at, tenant, kind, was, now in connection.execute(question)
    ]
