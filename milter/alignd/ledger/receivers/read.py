"""What receivers said in a span of days, and what was predicted for the mail of these days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select, union
from sqlalchemy.sql.elements import ColumnElement

from alignd.ledger.answer import OTHER
from alignd.ledger.apply import OUTBOUND
from alignd.ledger.batch import DAY
from alignd.ledger.database import day_of
from alignd.ledger.event import EventKind
from alignd.ledger.receivers.rewriting import rewriting
from alignd.ledger.receivers.rows import PredictedDay, Receivers, ReplyKey, ReportKey
from alignd.ledger.tables import DAYS, EVENTS, REPLIES, REPORT_ROWS, REPORTS, STATES

MAX_ROWS = 50_000
"""Of an answer, of all kinds together."""
_SKIP = "skip"  # Action: what is skipped is no customer's mail
_CHANGES = [
    each.value
    for each in (
        *(EventKind.BEGAN, EventKind.STOPPED, EventKind.PARTLY),
        *(EventKind.POLICY, EventKind.UNKNOWN, EventKind.KNOWN, EventKind.FLAPPING),
    )
]
"""After which other mail of the domain passes, or may."""


class TooLargeError(Exception):
    """An answer would have too many rows; its text says so."""


def receivers(
    connection: Connection,
    leg: str,
    tenant: str | None,
    domain: str | None,
    since: float,
    until: float,
    *,
    limit: int = MAX_ROWS,
) -> Receivers:
    """What is known of the days (UTC) that begin from *since* to before *until*.

    Of the author *domain*, or of all where that is None; of the domains that *tenant* sends as, or
    of all where that is None. A tenant has its own replies. What is reported of a domain that
    others send as too is of all their mail, and so is what was predicted for it.

    Raises:
        LedgerError: the database cannot be used.
        TooLargeError: there are over *limit* rows; ask for fewer days, or for one domain.
    """
    if leg != OUTBOUND:
        return Receivers()  # nobody reports of what comes back
    wanted = _Wanted(leg, tenant, domain, -(-int(since) // DAY) * DAY, until)
    room = _Room(limit)
    replies = [
        (ReplyKey(*key), int(messages))
        for *key, messages in room.rows(connection, wanted.replies())
    ]
    rows = [
        (ReportKey(*key), int(messages))
        for *key, messages in room.rows(connection, wanted.report_rows())
    ]
    days = [
        PredictedDay(day, name, action, reason, int(messages))
        for question in wanted.days()
        for day, name, action, reason, messages in room.rows(connection, question)
    ]
    changes = [(int(day), name) for day, name in room.rows(connection, wanted.changes(connection))]
    reports, newest = connection.execute(wanted.reports()).one()
    return Receivers(
        tuple(replies),
        tuple(rows),
        int(reports),
        float(newest or 0),
        tuple(days),
        frozenset(changes),
        rewriting(connection, leg, tenant, domain, wanted.first, until),
    )


class _Room:
    """For so many rows, whatever they are of."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def rows(self, connection: Connection, question: Select[Any]) -> Iterator[Any]:
        found = connection.execute(question.limit(self._left + 1)).all()
        if len(found) > self._left:
            raise TooLargeError(
                f"over {self._limit} rows of what receivers said; ask for fewer days, or for one "
                "domain"
            )
        self._left -= len(found)
        return iter(found)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which rows are asked for."""

    leg: str
    tenant: str | None
    domain: str | None
    first: int
    """The first day."""
    until: float

    def replies(self) -> Select[Any]:
        columns = REPLIES.c
        question: Select[Any] = select(*columns).where(
            columns.day >= self.first, columns.day < self.until
        )
        if self.tenant is not None:
            question = question.where(columns.tenant == self.tenant)
        if self.domain is not None:
            question = question.where(columns.domain == self.domain)
        return question.order_by(*REPLIES.primary_key)

    def report_rows(self) -> Select[Any]:
        """Those of reports whose whole period is asked for."""
        conditions = (self._is_reported(), *self._of_domain(REPORT_ROWS.c.domain))
        return select(*REPORT_ROWS.c).where(*conditions).order_by(*REPORT_ROWS.primary_key)

    def reports(self) -> Select[Any]:
        columns = REPORTS.c
        # A period that ends at midnight is of the day before.
        is_of_time = (columns.end > self.first) & (columns.end <= self.until)
        numbers: tuple[ColumnElement[Any], ...] = (func.count(), func.max(columns.end))
        question = select(*numbers).where(is_of_time)
        if self.domain is not None:  # who has no policy has that of a domain above
            question = question.where(columns.policy_domain.in_(_above(self.domain)))
        if self.tenant is not None:
            question = question.where(columns.policy_domain.in_(self._of_tenant()))
        return question

    def days(self) -> Iterator[Select[Any]]:
        """By domain where a receiver said something of it; the others are one.

        Of 10,000 domains there are some 300,000 rows in a month, and receivers report of the few
        that ask them to. What was skipped of their mail is reported too, and nobody has predicted
        what becomes of it.
        """
        columns = DAYS.c
        conditions = [
            columns.day >= self.first,
            columns.day < self.until,
            columns.leg == self.leg,
        ]
        if self.tenant is not None:
            conditions.append(columns.domain.in_(self._of_tenant()))
        key = (columns.day, columns.domain, columns.action, columns.reason)
        messages = func.sum(columns.messages)
        question = select(*key, messages).where(*conditions).group_by(*key).order_by(*key)
        if self.domain is not None:
            yield question.where(columns.domain == self.domain)
            return
        told = columns.domain.in_(self._told_of()) & (columns.domain != OTHER)
        yield question.where(told)
        words = (columns.action, columns.reason)
        others = select(columns.day, literal(OTHER), *words, messages)
        key_of_others = (columns.day, *words)
        yield (
            others.where(*conditions, ~told, columns.action != _SKIP)
            .group_by(*key_of_others)
            .order_by(*key_of_others)
        )

    def changes(self, connection: Connection) -> Select[Any]:
        events, states = EVENTS.c, STATES.c
        day = day_of(connection, events.at)
        of_domains = events.leg == self.leg, *self._of_changed(events.domain)
        of_events = select(day, events.domain).where(
            events.at >= self.first,
            events.at < self.until,
            events.kind.in_(_CHANGES),
            *of_domains,
        )
        # For a day after it, changes are not told.
        of_silence = select(day + DAY, events.domain).where(
            events.at >= self.first - DAY,
            events.at < self.until,
            events.kind == EventKind.FLAPPING.value,
            *of_domains,
        )
        of_states = select(day_of(connection, states.since), states.domain).where(
            states.leg == self.leg,
            states.since >= self.first,
            states.since < self.until,
            *self._of_changed(states.domain),
        )
        all_of_them = union(of_events, of_silence, of_states).subquery()
        return select(*all_of_them.c)

    def _is_reported(self) -> ColumnElement[bool]:
        columns = REPORT_ROWS.c
        return (columns.first_day >= self.first) & (columns.last_day < self.until)

    def _of_changed(self, column: ColumnElement[str]) -> Iterator[ColumnElement[bool]]:
        yield from self._of_domain(column)
        if self.domain is None:
            yield column.in_(self._told_of())

    def _of_domain(self, column: ColumnElement[str]) -> Iterator[ColumnElement[bool]]:
        if self.domain is not None:
            yield column == self.domain
        if self.tenant is not None:
            yield column.in_(self._of_tenant())

    def _of_tenant(self) -> Select[Any]:
        """The domains that the tenant sends as."""
        columns = STATES.c
        return select(columns.domain).where(columns.leg == self.leg, columns.tenant == self.tenant)

    def _told_of(self) -> Any:
        """The domains that receivers said something of."""
        replies, rows = REPLIES.c, REPORT_ROWS.c
        return union(
            select(rows.domain).where(self._is_reported()),
            select(replies.domain).where(replies.day >= self.first, replies.day < self.until),
        )


def _above(domain: str) -> list[str]:
    """*domain* and all that it is part of."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]
