"""What a digest is made of: what the ledger says of a week, and of the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from alignd.digest.week import Week
from alignd.ledger.answer import NO_DOMAIN, OTHER
from alignd.ledger.apply import OUTBOUND
from alignd.ledger.queries.events import DomainEvent
from alignd.ledger.queries.overview import DomainRow, Selection
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.queries.traffic import Traffic
from alignd.ledger.window.reader import LedgerReader

MOST_REWRITTEN = 10
"""Domains that are told of by themselves."""
NO_NAMES = frozenset({NO_DOMAIN, OTHER})
"""What stands for the domain of mail that has none of its own."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the ledger says."""

    week: Week
    tenant: str | None
    """Whose mail it is; None for all."""
    traffic: tuple[Traffic, ...] = ()
    traffic_before: tuple[Traffic, ...] = ()
    """That of the week before."""
    events: tuple[DomainEvent, ...] = ()
    """The newest first."""
    states: tuple[DomainRow, ...] = ()
    """How the mail of the most rewritten domains is rewritten now, where it is."""
    relays: tuple[RelayRow, ...] = ()


def gather(reader: LedgerReader, week: Week, tenant: str | None, now: float) -> Facts:
    """Ask *reader* what happened in *week*.

    Raises:
        WindowError: the ledger has no answer.
    """
    before = week.before
    traffic = reader.traffic(OUTBOUND, tenant, week.since, week.until)
    return Facts(
        week,
        tenant,
        tuple(traffic),
        tuple(reader.traffic(OUTBOUND, tenant, before.since, before.until)),
        tuple(reader.events(OUTBOUND, tenant, week.since, week.until)),
        tuple(
            row
            for domain in most_rewritten(traffic)
            for row in reader.overview(Selection(OUTBOUND, ("rewrite",), tenant, domain), now)
        ),
        # Which relay a tenant's mail takes, the ledger does not know.
        tuple(reader.relays(now)) if tenant is None else (),
    )


def most_rewritten(traffic: Iterable[Traffic]) -> list[str]:
    """The domains with the most rewritten mail of all tenants, the one with the most first."""
    rewritten = Counter[str]()
    for row in traffic:
        if row.rewritten and row.domain not in NO_NAMES:
            rewritten[row.domain] += row.rewritten
    return sorted(rewritten, key=lambda domain: (-rewritten[domain], domain))[:MOST_REWRITTEN]
