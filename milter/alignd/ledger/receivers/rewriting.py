"""Whose mail was rewritten, and what was found of the same domains at other times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from sqlalchemy import Connection, case, func, select
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
    rewritten = columns.action == Action.REWRITE.value
    messages = func.sum(columns.messages)
    question = (
        select(columns.domain, columns.reason, messages)
        .where(*conditions, rewritten)
        .group_by(columns.domain, columns.reason)
        .order_by(messages.desc(), columns.domain, columns.reason)
        .limit(MAX_REWRITING)
    )
    rows = connection.execute(question).all()
    named = columns.domain.in_({row[0] for row in rows})
    # One by one: to join them takes PostgreSQL minutes where it has not counted its rows yet.
    passing = _passing(connection, leg, tenant, {row[0] for row in rows})
    late = _late(connection, [*conditions, rewritten], passing)
    aligned = _aligned(connection, [*conditions, named])
    return tuple(
        Rewriting(
            *(name, reason, int(some), late[name, reason], aligned.get(name, 0)),
            is_over=name in passing,
        )
        for name, reason, some in rows
    )


def _passing(
    connection: Connection, leg: str, tenant: str | None, names: Set[str]
) -> Mapping[str, float]:
    """Those of *names* whose mail aligns for every tenant that sends as them, and since when."""
    columns = STATES.c
    is_aligned = case((columns.reason.in_(_ALIGNED), 1), else_=0)
    question = select(columns.domain, func.max(columns.since)).where(
        columns.leg == leg, columns.domain.in_(names)
    )
    if tenant is not None:
        question = question.where(columns.tenant == tenant)
    found = question.group_by(columns.domain).having(func.min(is_aligned) == 1)
    return {name: float(since) for name, since in connection.execute(found)}


def _late(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    passing: Mapping[str, float],
) -> Counter[tuple[str, str]]:
    """Messages that were rewritten on days that began after that, by domain and reason."""
    columns = DAYS.c
    question = select(columns.domain, columns.reason, columns.day, columns.messages).where(
        *conditions, columns.domain.in_(passing), columns.day >= min(passing.values(), default=0)
    )
    late: Counter[tuple[str, str]] = Counter()
    for name, reason, day, messages in connection.execute(question) if passing else ():
        late[name, reason] += int(messages) if day >= passing[name] else 0
    return late


def _aligned(
    connection: Connection, conditions: Sequence[ColumnElement[bool]]
) -> Mapping[str, int]:
    """The messages of domains that were left alone because they align."""
    columns = DAYS.c
    question = select(columns.domain, func.sum(columns.messages)).where(
        *conditions, columns.reason.in_(_ALIGNED)
    )
    found = connection.execute(question.group_by(columns.domain))
    return {name: int(messages) for name, messages in found}
