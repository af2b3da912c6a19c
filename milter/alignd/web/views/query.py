"""The fields of URLs: the list that they ask for and back, numbers, and what can be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignd.web.listing import MAX_SEARCH, Column, Wanted

STATE, TENANT, SEARCH, SORT, PAGE = "state", "tenant", "search", "sort", "page"
GENERAL = "-"
"""The tenant of a field that means the general options: an empty one means all."""
_DESCENDING = "-"
_MAX_TENANT = 255
_MAX_DIGITS = 6
_FIRST_DOWN = {Column.SINCE, Column.DAY, Column.MESSAGES, Column.REWRITTEN, Column.SEEN}
"""Of these people want to see the most, or the newest."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What can be chosen for a field."""

    value: str
    text: str
    is_chosen: bool


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """What *query* asks for; what it says wrongly is as if it were not said."""
    default = Wanted()
    sort = query.get(SORT, "")
    column = _column(sort.removeprefix(_DESCENDING))
    return Wanted(
        state=query.get(STATE, "")[:_MAX_TENANT],
        tenant=_tenant(query.get(TENANT, "")),
        search=query.get(SEARCH, "")[:MAX_SEARCH],
        column=column or default.column,
        is_descending=sort.startswith(_DESCENDING) if column else default.is_descending,
        page=number_of(query.get(PAGE, "")),
    )


def query_of(wanted: Wanted) -> dict[str, str]:
    """The fields that ask for it; those that say nothing are left out."""
    default = Wanted()
    is_sorted = (wanted.column, wanted.is_descending) == (default.column, default.is_descending)
    down = _DESCENDING if wanted.is_descending else ""
    fields = {
        SEARCH: wanted.search,
        STATE: wanted.state,
        TENANT: GENERAL if wanted.tenant == "" else wanted.tenant or "",
        SORT: "" if is_sorted else f"{down}{wanted.column.value}",
        PAGE: str(wanted.page) if wanted.page > 1 else "",
    }
    return {name: value for name, value in fields.items() if value}


def number_of(field: str) -> int:
    """The number that a field has, from 1; 1 where it has none."""
    is_number = field.isascii() and field.isdigit() and len(field) <= _MAX_DIGITS
    return max(1, int(field)) if is_number else 1


def begins_descending(column: Column) -> bool:
    """Whether the first click on the head of *column* sorts downwards."""
    return column in _FIRST_DOWN


def _column(word: str) -> Column | None:
    return next((each for each in Column if each.value == word), None)


def _tenant(field: str) -> str | None:
    if not field:
        return None
    return "" if field == GENERAL else field[:_MAX_TENANT]
