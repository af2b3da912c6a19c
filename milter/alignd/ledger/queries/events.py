"""What changed in a span of time, of all author domains and relays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from alignd.ledger.event import object_in
from alignd.ledger.tables import EVENTS

MAX_EVENTS = 10_000
"""The most that are told at once."""


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """An event, and of what it is."""

    at: float
    tenant: str
    domain: str
    """Empty where it is about a relay."""
    kind: str
    """A word of `EventKind`, or of a later alignd."""
    was: Mapping[str, Any]
    now: Mapping[str, Any]
    relay: str
    """Who noticed."""


def events_between(
    connection: Connection, leg: str, tenant: str | None, since: float, until: float
) -> list[DomainEvent]:
    """The events from the Unix time *since* to before *until*, the newest MAX_EVENTS first.

    Those of *tenant*, or of all where that is None.

    Raises:
        LedgerError: the database cannot be used.
    """
    columns = EVENTS.c
    question = select(
        *(columns.at, columns.tenant, columns.domain, columns.kind),
        *(columns.was, columns.now, columns.relay),
    ).where(columns.leg == leg, columns.at >= since, columns.at < until)
    if tenant is not None:
        question = question.where(columns.tenant == tenant)
    ordered = question.order_by(columns.at.desc(), columns.id).limit(MAX_EVENTS)
    return [
        DomainEvent(at, of, domain, kind, object_in(was), object_in(now), relay)
        for at, of, domain, kind, was, now, relay in connection.execute(ordered)
    ]
