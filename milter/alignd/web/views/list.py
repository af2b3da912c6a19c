"""What the list of author domains shows: a page of it, its filters, and how it is sorted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from alignd.languages.texts import Texts, msgid
from alignd.ledger.queries.overview import SHOWN_DAYS, DomainRow
from alignd.web.chart import curve_svg
from alignd.web.listing import Column, Snapshot, View, Wanted, state_of
from alignd.web.views.badges import STATES, Badge, state_badge, state_word
from alignd.web.views.query import GENERAL, Choice, begins_descending, query_of
from alignd.web.views.times import read_ago

_LABELS = {
    Column.DOMAIN: msgid("Domain"),
    Column.STATE: msgid("State"),
    Column.TENANT: msgid("Tenant"),
    Column.SINCE: msgid("Since"),
    Column.DAY: msgid("24 hours"),
    Column.MESSAGES: msgid("30 days"),
    Column.REWRITTEN: msgid("Rewritten"),
}
_KEPT_ROWS = 10_000
"""Many look at the same part of a list: what is shown of a domain is the same until it changes."""
_NUMERIC = {Column.DAY, Column.MESSAGES, Column.REWRITTEN}


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column."""

    label: str
    query: dict[str, str]
    """Of the list that is sorted by it, the other way round if it is already."""
    aria_sort: str
    """As ARIA has it; empty where it is sorted by another."""
    is_numeric: bool


@dataclass(frozen=True, slots=True)
class ListRow:
    """An author domain."""

    domain: str
    path: str
    tenant: str
    badge: Badge
    since: str
    day: str
    messages: str
    rewritten: str
    curve: str
    """Messages by day, as SVG."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The heads of the columns once more: on a small screen each cell has its own."""

    domain: str
    state: str
    tenant: str
    since: str
    day: str
    messages: str
    rewritten: str


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of the list."""

    heads: tuple[Head, ...]
    labels: Labels
    rows: tuple[ListRow, ...]
    states: tuple[Choice, ...]
    tenants: tuple[Choice, ...]
    """Empty where there is but one."""
    has_tenants: bool
    search: str
    kept: dict[str, str]
    """What the filters leave as it is: how the list is sorted."""
    summary: str
    empty: str
    """Why there is no row; empty where there are some."""
    is_filtered: bool
    as_of: str
    """When the ledger was read, in words."""
    trouble: str
    """Why it could not be read since; empty where it could."""
    contradiction: str
    """That receivers have refused what was to pass; empty where they have not."""
    page_text: str
    previous: dict[str, str] | None
    next: dict[str, str] | None
    query: dict[str, str]
    """Of this page, for the same as JSON."""


class ListPages:
    """Makes pages of the list, and keeps what it has shown of a domain until that changes."""

    def __init__(self) -> None:
        # A bounded dictionary by what is shown, and in which language.
        self._row = lru_cache(_KEPT_ROWS)(_row)

    def page(
        self,
        snapshot: Snapshot,
        wanted: Wanted,
        texts: Texts,
        now: float,
        trouble: str = "",
        contradiction: str = "",
    ) -> ListPage:
        """The page of *snapshot* that is wanted, at the Unix time *now*.

        *trouble* says why there is no newer one, *contradiction* what receivers have refused.
        """
        view = snapshot.view(wanted)
        wanted = replace(wanted, page=view.page)
        has_tenants = any(snapshot.tenants.keys())
        first = replace(wanted, page=1)
        kept = query_of(Wanted(column=wanted.column, is_descending=wanted.is_descending))
        return ListPage(
            heads=tuple(_heads(wanted, texts, has_tenants=has_tenants)),
            labels=Labels(**{each.value: texts.text(label) for each, label in _LABELS.items()}),
            rows=tuple(self._row(row, texts) for row in view.rows),
            states=tuple(_states(snapshot, wanted, texts)),
            tenants=tuple(_tenants(snapshot, wanted, texts)) if has_tenants else (),
            has_tenants=has_tenants,
            search=wanted.search,
            kept=kept,
            summary=_summary(snapshot, view, texts),
            empty=_why_empty(snapshot, view, texts),
            is_filtered=query_of(first) != kept,
            as_of=read_ago(snapshot.age(now), texts),
            trouble=trouble,
            contradiction=contradiction,
            page_text=texts.text(
                "Page {page} of {pages}",
                page=texts.number(view.page),
                pages=texts.number(view.pages),
            ),
            previous=_paged(wanted, view.previous),
            next=_paged(wanted, view.next),
            query=query_of(wanted),
        )


def list_json(snapshot: Snapshot, wanted: Wanted) -> dict[str, Any]:
    """The same for programs. Times are Unix times."""
    view = snapshot.view(wanted)
    return {
        "taken_at": snapshot.taken_at,
        "total": snapshot.total,
        "matching": view.matching,
        "page": view.page,
        "pages": view.pages,
        "domains": [_row_json(row) for row in view.rows],
    }


def _row(row: DomainRow, texts: Texts) -> ListRow:
    return ListRow(
        domain=row.domain,
        path=f"/domains/{row.domain}",
        tenant=row.tenant,
        badge=state_badge(state_of(row), texts),
        since=texts.date(row.unknown_since or row.since),
        day=texts.number(row.last_day),
        messages=texts.number(row.messages),
        rewritten=texts.number(row.rewritten),
        curve=curve_svg(row.by_day, _curve_text(row, texts)),
    )


def _curve_text(row: DomainRow, texts: Texts) -> str:
    return texts.text(
        "Messages by day, of {days} days: {messages} in all, {today} today, at most {most}.",
        days=texts.number(SHOWN_DAYS),
        messages=texts.number(row.messages),
        today=texts.number(row.by_day[-1]),
        most=texts.number(max(row.by_day)),
    )


def _heads(wanted: Wanted, texts: Texts, *, has_tenants: bool) -> Iterator[Head]:
    for column, label in _LABELS.items():
        if column is Column.TENANT and not has_tenants:
            continue
        is_sorted = column is wanted.column
        descending = not wanted.is_descending if is_sorted else begins_descending(column)
        query = query_of(replace(wanted, column=column, is_descending=descending, page=1))
        sort = ("descending" if wanted.is_descending else "ascending") if is_sorted else ""
        yield Head(texts.text(label), query, sort, column in _NUMERIC)


def _states(snapshot: Snapshot, wanted: Wanted, texts: Texts) -> Iterator[Choice]:
    yield Choice("", texts.text("All states"), not wanted.state)
    places = {state: place for place, state in enumerate(STATES)}
    for state in sorted(snapshot.states, key=lambda each: (places.get(each, len(places)), each)):
        yield Choice(
            state,
            texts.text(
                "{state} ({number})",
                state=state_word(state, texts),
                number=texts.number(snapshot.states[state]),
            ),
            state == wanted.state,
        )


def _tenants(snapshot: Snapshot, wanted: Wanted, texts: Texts) -> Iterator[Choice]:
    yield Choice("", texts.text("All tenants"), wanted.tenant is None)
    for tenant in sorted(snapshot.tenants, key=str.casefold):
        name = tenant or texts.text("No tenant")
        yield Choice(tenant or GENERAL, name, tenant == wanted.tenant)


def _summary(snapshot: Snapshot, view: View, texts: Texts) -> str:
    if view.matching == snapshot.total:
        return texts.plural("There is {n} domain.", "There are {n} domains.", snapshot.total)
    return texts.plural(
        "{n} domain of {total} is like that.",
        "{n} domains of {total} are like that.",
        view.matching,
        total=texts.number(snapshot.total),
    )


def _why_empty(snapshot: Snapshot, view: View, texts: Texts) -> str:
    if view.rows:
        return ""
    if snapshot.total:
        return texts.text("No domain is like that. Search for less, or for a part of the name.")
    return texts.text(
        "No helpdesk mail has been counted yet. Domains appear here minutes after the first mail."
    )


def _paged(wanted: Wanted, page: int | None) -> dict[str, str] | None:
    return None if page is None else query_of(replace(wanted, page=page))


def _row_json(row: DomainRow) -> dict[str, Any]:
    return {
        "domain": row.domain,
        "tenant": row.tenant,
        "state": state_of(row),
        "reason": row.finding.reason,
        "policy": row.finding.policy,
        "spf": row.finding.spf,
        "dkim": row.finding.dkim,
        "since": row.since,
        "unknown_since": row.unknown_since or None,
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
        "messages_day": row.last_day,
        "messages_30_days": row.messages,
        "rewritten_30_days": row.rewritten,
        "by_day": list(row.by_day),
    }
