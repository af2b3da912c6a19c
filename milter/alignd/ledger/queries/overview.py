"""The author domains of a ledger, each with its state and its messages of the last days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, Select, Text, and_, case, cast, func, select
from sqlalchemy.sql.elements import ColumnElement

from alignd.ledger.answer import NO_DOMAIN, OTHER, Finding
from alignd.ledger.apply import OUTBOUND
from alignd.ledger.batch import DAY, HOUR
from alignd.ledger.tables import DAYS, HOURS, STATES

SHOWN_DAYS = 30
"""Days of which messages are told, today with them."""
_SHOWN_HOURS = 24
_REWRITE, _SKIP = "rewrite", "skip"  # Action: what is skipped is no customer's mail
_WILDCARDS = {"*": "%", "?": "_"}
_ESCAPE = "\\"
_AT_A_TIME = 10_000  # rows


@dataclass(frozen=True, slots=True)
class Selection:
    """Which author domains are asked for."""

    leg: str = OUTBOUND
    actions: tuple[str, ...] = ()
    """Words of `Action`; empty for all."""
    tenant: str | None = None
    """A label; empty for the general options, None for all."""
    pattern: str = ""
    """A domain, in which `*` and `?` stand for anything; empty for all."""
    since: float = 0.0
    """Those that are what they are since that Unix time, or a later one."""


class Order(Enum):
    """What comes first."""

    MESSAGES = "messages"
    """The most messages of thirty days."""
    DAY = "day"
    """The most messages of a day."""
    SINCE = "since"
    """What changed last."""
    SEEN = "seen"
    """What sent last."""
    DOMAIN = "domain"
    """By the alphabet, the top-level domain first."""


@dataclass(frozen=True, slots=True)
class DomainRow:
    """An author domain, as one tenant sends from it."""

    tenant: str
    domain: str
    finding: Finding
    since: float
    first_seen: float
    last_seen: float
    looked: float
    """When its records were looked at, 0 for never."""
    unknown_since: float
    """Since when DNS does not say, 0 where it does."""
    by_day: tuple[int, ...] = (0,) * SHOWN_DAYS
    """Messages of each day (UTC), the oldest first; without those that were skipped."""
    rewritten: int = 0
    """Those of them that were rewritten."""
    last_day: int = 0
    """Messages of the last 24 hours, the one that runs with them."""

    @property
    def messages(self) -> int:
        """Those of thirty days."""
        return sum(self.by_day)

    @property
    def is_rewritten(self) -> bool:
        return self.finding.action == _REWRITE


def overview(
    connection: Connection, selection: Selection, now: float, order: Order = Order.MESSAGES
) -> list[DomainRow]:
    """The author domains of *selection* at the Unix time *now*.

    Raises:
        LedgerError: the database cannot be used.
    """
    wanted = _wanted(selection)
    found = connection.execute(select(STATES).where(wanted))
    rows = {(row.tenant, row.domain): _domain_row(row) for row in found}
    for key, (by_day, rewritten) in _by_domain(connection, wanted, now).items():
        rows[key] = replace(rows[key], by_day=tuple(by_day), rewritten=rewritten)
    for tenant, domain, messages in connection.execute(_last_day(wanted, now)):
        rows[tenant, domain] = replace(rows[tenant, domain], last_day=int(messages))
    return sorted(rows.values(), key=_ORDERS[order])


def count_of(connection: Connection, selection: Selection) -> int:
    """How many rows `overview` has.

    Raises:
        LedgerError: the database cannot be used.
    """
    question = select(func.count()).select_from(STATES).where(_wanted(selection))
    return int(connection.execute(question).scalar_one())


def other_messages(connection: Connection, selection: Selection, now: float) -> int:
    """Messages of thirty days of *selection* that no domain has, by the general ones of it.

    Their author could not be read, or the ledger has no room for their domain.
    """
    days = DAYS.c
    question = select(func.coalesce(func.sum(days.messages), 0)).where(
        days.day >= _first_day(now),
        days.leg == selection.leg,
        days.domain.in_((OTHER, NO_DOMAIN)),
        days.action != _SKIP,
    )
    if selection.actions:
        question = question.where(days.action.in_(selection.actions))
    if selection.tenant is not None:
        question = question.where(days.tenant == selection.tenant)
    return int(connection.execute(question).scalar_one())


def _wanted(selection: Selection) -> ColumnElement[bool]:
    states = STATES.c
    conditions: list[ColumnElement[bool]] = [states.leg == selection.leg]
    if selection.actions:
        conditions.append(states.action.in_(selection.actions))
    if selection.tenant is not None:
        conditions.append(states.tenant == selection.tenant)
    if selection.since:
        conditions.append(states.since >= selection.since)
    if selection.pattern:
        conditions.append(matches(states.domain, selection.pattern))
    return and_(*conditions)


def matches(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether the domain in *column* is *pattern*, in which `*` and `?` stand for anything."""
    if not any(wildcard in pattern for wildcard in _WILDCARDS):
        return column == pattern
    like = "".join(
        _WILDCARDS.get(each, _ESCAPE + each if each in "%_\\" else each) for each in pattern
    )
    return column.like(like, escape=_ESCAPE)


def _last_day(wanted: ColumnElement[bool], now: float) -> Select[Any]:
    hours = HOURS.c
    first = (int(now) // HOUR - _SHOWN_HOURS + 1) * HOUR
    return (
        select(hours.tenant, hours.domain, func.sum(hours.messages))
        .join_from(HOURS, STATES, _same_domain(hours))
        .where(wanted, hours.hour >= first, hours.action != _SKIP)
        .group_by(hours.tenant, hours.domain)
    )


def _same_domain(columns: Any) -> ColumnElement[bool]:
    states = STATES.c
    return and_(
        columns.leg == states.leg,
        columns.tenant == states.tenant,
        columns.domain == states.domain,
    )


def _by_domain(
    connection: Connection, wanted: ColumnElement[bool], now: float
) -> dict[tuple[str, str], tuple[list[int], int]]:
    """The messages of each day of each domain, and how many of them were rewritten."""
    first, days = _first_day(now), DAYS.c
    rewritten = case((days.action == _REWRITE, days.messages), else_=0)
    # The numbers of a domain as one text: of 10,000 domains there would be 200,000 rows, and who
    # reads in a thread would keep the others from their work while it makes objects of them.
    pair = cast(days.day, Text).concat(" ").concat(cast(days.messages, Text))
    question = (
        select(days.tenant, days.domain, func.aggregate_strings(pair, ","), func.sum(rewritten))
        .join_from(DAYS, STATES, _same_domain(days))
        .where(wanted, days.day >= first, days.action != _SKIP)
        .group_by(days.tenant, days.domain)
    )
    found: dict[tuple[str, str], tuple[list[int], int]] = {}
    for some in connection.execute(question).partitions(_AT_A_TIME):
        for tenant, domain, pairs, number in some:
            found[tenant, domain] = _by_day(pairs, first), int(number)
    return found


def _by_day(pairs: str, first: int) -> list[int]:
    by_day = [0] * SHOWN_DAYS
    for pair in pairs.split(","):
        day, messages = pair.split(" ")
        # A clock that was ahead may have counted days that are still to come.
        by_day[min((int(day) - first) // DAY, SHOWN_DAYS - 1)] += int(messages)
    return by_day


def _first_day(now: float) -> int:
    return (int(now) // DAY - SHOWN_DAYS + 1) * DAY


def _domain_row(row: Row[Any]) -> DomainRow:
    finding = Finding(row.action, row.reason, row.policy, row.spf, row.dkim)
    times = (row.since, row.first_seen, row.last_seen, row.looked, row.unknown_since)
    return DomainRow(row.tenant, row.domain, finding, *times)


def _by_name(row: DomainRow) -> tuple[list[str], str]:
    return row.domain.split(".")[::-1], row.tenant


_ORDERS: dict[Order, Callable[[DomainRow], Any]] = {
    Order.MESSAGES: lambda row: (-row.messages, _by_name(row)),
    Order.DAY: lambda row: (-row.last_day, _by_name(row)),
    Order.SINCE: lambda row: (-row.since, _by_name(row)),
    Order.SEEN: lambda row: (-row.last_seen, _by_name(row)),
    Order.DOMAIN: _by_name,
}
