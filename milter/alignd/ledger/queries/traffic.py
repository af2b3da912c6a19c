"""How many messages each author domain had in a span of days."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from alignd.ledger.batch import DAY
from alignd.ledger.tables import DAYS

_REWRITE, _SKIP = "rewrite", "skip"  # Action: what is skipped is no customer's mail


@dataclass(frozen=True, slots=True)
class Traffic:
    """Messages from an author domain, as one tenant sends from it."""

    tenant: str
    domain: str
    """Or OTHER, or NO_DOMAIN."""
    messages: int
    rewritten: int
    """Those of them that were rewritten."""


def traffic(
    connection: Connection,
    leg: str,
    tenant: str | None,
    since: float,
    until: float,
    *,
    limit: int,
) -> list[Traffic]:
    """The domains with messages on the days (UTC) that begin from *since* to before *until*.

    Those of *tenant*, or of all where that is None; by the alphabet, no more than *limit*.

    Raises:
        LedgerError: the database cannot be used.
    """
    days = DAYS.c
    key = (days.tenant, days.domain)
    rewritten = case((days.action == _REWRITE, days.messages), else_=0)
    question = select(*key, func.sum(days.messages), func.sum(rewritten)).where(
        days.leg == leg,
        days.day >= -(-int(since) // DAY) * DAY,
        days.day < until,
        days.action != _SKIP,
    )
    if tenant is not None:
        question = question.where(days.tenant == tenant)
    ordered = question.group_by(*key).order_by(*key).limit(limit)
    return [
        Traffic(of, domain, int(messages), int(number))
        for of, domain, messages, number in connection.execute(ordered)
    ]
