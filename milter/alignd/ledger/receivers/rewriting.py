"""Whose mail was rewritten, and what was found of the same domains at other times."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Subquery, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from alignd.judgement.reasons import Action, Expected, Reason
from alignd.ledger.answer import NO_DOMAIN, OTHER
from alignd.ledger.receivers.rows import Rewriting
from alignd.ledger.tables import DAYS, STATES

MAX_REWRITING = 2_000
"""Rows, those with most messages."""
_ALIGNED = [reason.value for reason in Reason if reason.expected() is Expected.ALIGNED]


def rewriting(
    connection: Connection,
    leg: str,
    tenant: str | None,
    domain: str | None,
    since: float,
    until: float,
) -> tuple[Rewriting, ...]:
    """Those of the days that begin from *since* to before *until*, most messages first.

    Raises:
        LedgerError: the database cannot be used.
    """
    columns = DAYS.c
    conditions = [
        columns.leg == leg,
        columns.day >= since,
        columns.day < until,
        columns.domain.not_in([NO_DOMAIN, OTHER]),
    ]
    if tenant is not None:
        conditions.append(columns.tenant == tenant)
    if domain is not None:
        conditions.append(columns.domain == domain)
    passing = _passing(leg, tenant)
    messages = func.sum(columns.messages)
    later = case((columns.day >= passing.c.since, columns.messages), else_=0)
    question = (
        select(columns.domain, columns.reason, messages, func.sum(later), passing.c.since)
        .select_from(DAYS.outerjoin(passing, passing.c.domain == columns.domain))
        .where(*conditions, columns.action == Action.REWRITE.value)
        .group_by(columns.domain, columns.reason, passing.c.since)
        .order_by(messages.desc(), columns.domain, columns.reason)
        .limit(MAX_REWRITING)
    )
    rows = connection.execute(question).all()
    aligned = _aligned(connection, conditions, {row[0] for row in rows})
    return tuple(
        Rewriting(name, reason, int(some), int(late), aligned.get(name, 0), start is not None)
        for name, reason, some, late, start in rows
    )


def _passing(leg: str, tenant: str | None) -> Subquery:
    """Domains whose mail aligns for every tenant that sends as them, and since when."""
    columns = STATES.c
    is_aligned = case((columns.reason.in_(_ALIGNED), 1), else_=0)
    question = select(columns.domain, func.max(columns.since).label("since"))
    question = question.where(columns.leg == leg)
    if tenant is not None:
        question = question.where(columns.tenant == tenant)
    return question.group_by(columns.domain).having(func.min(is_aligned) == 1).subquery()


def _aligned(
    connection: Connection, conditions: list[ColumnElement[bool]], names: set[str]
) -> Mapping[str, int]:
    """The messages of domains that were left alone because they align."""
    if not names:
        return {}
    columns = DAYS.c
    question = select(columns.domain, func.sum(columns.messages)).where(
        *conditions, columns.reason.in_(_ALIGNED)
    )
    found = connection.execute(question.group_by(columns.domain))
    return {name: int(messages) for name, messages in found if name in names}
