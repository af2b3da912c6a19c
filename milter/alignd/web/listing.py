"""The list of author domains as one page of it shows it: filtered, sorted, a hundred at a time.

The ledger is asked for all domains now and then, and each request is answered from that
`Snapshot`: a list of 10,000 domains takes the ledger a second, and a page of it milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from alignd.ledger.queries.overview import DomainRow
from alignd.mail.domain import Domain, DomainError

PAGE_ROWS = 100
MAX_SEARCH = 253
"""Characters of what is searched for: no domain is longer."""
UNKNOWN = "unknown"
"""The state of a domain of which DNS does not say what would happen to its mail."""


class Column(Enum):
    """What the list can be sorted by."""

    DOMAIN = "domain"
    """By the alphabet, the top-level domain first."""
    TENANT = "tenant"
    STATE = "state"
    SINCE = "since"
    DAY = "day"
    """Messages of a day."""
    MESSAGES = "messages"
    """Those of thirty days."""
    REWRITTEN = "rewritten"
    """Those of them that were rewritten."""
    SEEN = "seen"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to see."""

    state: str = ""
    """A word of `state_of`; empty for all."""
    tenant: str | None = None
    """A label, empty for the general options; None for all."""
    search: str = ""
    """A part of the domain, or an address in it, as people write it; empty for all."""
    column: Column = Column.MESSAGES
    is_descending: bool = True
    page: int = 1


@dataclass(frozen=True, slots=True)
class View:
    """One page."""

    rows: tuple[DomainRow, ...]
    page: int
    """The number of this page, from 1: the one that was wanted, or the nearest that there is."""
    pages: int
    """How many there are, at least one."""
    matching: int
    """How many domains are on all of them."""
    first: int
    """The number of the first row among those, from 1; 0 if there is none."""

    @property
    def previous(self) -> int | None:
        return self.page - 1 if self.page > 1 else None

    @property
    def next(self) -> int | None:
        return self.page + 1 if self.page < self.pages else None


class Snapshot:
    """All author domains at one moment. What it says never changes, and any thread may ask."""

    def __init__(self, rows: Iterable[DomainRow], taken_at: float) -> None:
        """*taken_at*: the Unix time of that moment."""
        by_name = tuple(sorted(rows, key=_by_name))
        self._by_name = by_name
        self._sorted: dict[tuple[Column, bool], tuple[DomainRow, ...]] = {}
        """By a column and a direction, once somebody has wanted that: few want each of them."""
        self.taken_at = taken_at
        self.total = len(by_name)
        self.states: Mapping[str, int] = Counter(map(state_of, by_name))
        """How many domains are in each state."""
        self.tenants: Mapping[str, int] = Counter(row.tenant for row in by_name)
        """How many domains each tenant has."""

    def age(self, now: float) -> float:
        """The seconds since it was taken, at the Unix time *now*; 0 if a clock was set back."""
        return max(0.0, now - self.taken_at)

    def view(self, wanted: Wanted) -> View:
        """The page that is wanted."""
        matching = _matching(
            self._in_order(wanted.column, is_descending=wanted.is_descending), wanted
        )
        pages = max(1, -(-len(matching) // PAGE_ROWS))
        page = min(max(1, wanted.page), pages)
        start = (page - 1) * PAGE_ROWS
        some = tuple(matching[start : start + PAGE_ROWS])
        return View(some, page, pages, len(matching), start + 1 if some else 0)

    def _in_order(self, column: Column, *, is_descending: bool) -> tuple[DomainRow, ...]:
        found = self._sorted.get((column, is_descending))
        if found is None:  # two threads may find the same
            found = _in_order(self._by_name, _KEYS[column], is_descending=is_descending)
            self._sorted[column, is_descending] = found
        return found


def state_of(row: DomainRow) -> str:
    """What happens to its mail: a word of `Action`, or UNKNOWN."""
    return UNKNOWN if row.unknown_since else row.finding.action


def searched(text: str) -> str:
    """What *text* is in a domain as the ledger has it: lower-case A-labels, or a part of them.

    Of a whole domain with letters beyond ASCII, or of whole labels of it; a part of such a label
    is in no A-label.
    """
    text = text.rpartition("@")[2].strip()[:MAX_SEARCH].lower()
    if text.isascii():
        return text
    try:
        return Domain.parse(text.strip(".")).name
    except DomainError:
        return text


def _matching(rows: tuple[DomainRow, ...], wanted: Wanted) -> list[DomainRow]:
    text, state, tenant = searched(wanted.search), wanted.state, wanted.tenant
    return [
        row
        for row in rows
        if (not text or text in row.domain)
        and (tenant is None or row.tenant == tenant)
        and (not state or state_of(row) == state)
    ]


def _in_order(
    by_name: Sequence[DomainRow], key: Callable[[DomainRow], Any], *, is_descending: bool
) -> tuple[DomainRow, ...]:
    """The rows by *key*, those that are equal in the order of names."""
    return tuple(sorted(by_name, key=key, reverse=is_descending))  # stable, downwards too


def _by_name(row: DomainRow) -> tuple[list[str], str]:
    return row.domain.split(".")[::-1], row.tenant


_KEYS: dict[Column, Callable[[DomainRow], Any]] = {
    Column.DOMAIN: _by_name,
    Column.TENANT: lambda row: row.tenant.casefold(),
    Column.STATE: state_of,
    Column.SINCE: lambda row: row.since,
    Column.DAY: lambda row: row.last_day,
    Column.MESSAGES: lambda row: row.messages,
    Column.REWRITTEN: lambda row: row.rewritten,
    Column.SEEN: lambda row: row.last_seen,
}
