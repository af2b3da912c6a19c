"""How often alignd was right: of mail left alone because it aligns, what receivers passed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from alignd.reports.receivers.shares import Decided, Held


@dataclass(frozen=True, slots=True)
class Month:
    """The mail of one month."""

    month: str
    """Such as "2026-07"; where a period lies in two, the first."""
    passed: int
    messages: int
    """Of which receivers said whether they pass."""

    @property
    def precision(self) -> float:
        return self.passed / self.messages


def by_month(left_alone: Iterable[Decided]) -> tuple[Month, ...]:
    """The latest first; of days on which all mail of a domain was to pass."""
    months: dict[str, Held] = defaultdict(lambda: Held(""))
    for row in left_alone:
        if row.predicted.is_certain:
            name = f"{datetime.fromtimestamp(row.key.first_day, UTC):%Y-%m}"
            months[name] = months[name].plus(row.key, row.messages, row.predicted)
    told = {name: held for name, held in months.items() if held.told}
    return tuple(
        Month(name, told[name].passed, told[name].told) for name in sorted(told, reverse=True)
    )
