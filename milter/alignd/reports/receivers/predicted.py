"""What was predicted for the mail of a domain in the period of a report.

Receivers sample, cut and shift days: a report and a day of the ledger never have the same
messages. So what is predicted is a share, and days on which it changed predict nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from alignd.judgement.reasons import Action, Expected, Reason, reason_of
from alignd.ledger.answer import NO_DOMAIN, OTHER
from alignd.ledger.batch import DAY
from alignd.ledger.receivers.rows import Receivers, ReportKey

MAX_DAYS = 8
"""Days of a period; a longer one predicts nothing."""


class Undecided(Enum):
    """Why mail decides nothing."""

    CHANGED = "changed"
    """The state of its domain changed on one of these days."""
    UNPREDICTED = "unpredicted"
    """The ledger has no mail of that domain on these days, or not the days."""
    TOO_LONG = "too-long"
    """The period of the report is too long."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """Messages, by what was expected of them."""

    by_spf: int = 0
    by_dkim: int = 0
    by_either: int = 0
    """From the notifications domain: alignd need not know by what it passes."""
    others: int = 0
    """Those that a rule left alone, and those that alignd did not look at: they may well fail."""

    @property
    def share(self) -> float:
        """The share that was to pass."""
        passing = self.by_spf + self.by_dkim + self.by_either
        return passing / (passing + self.others)

    @property
    def is_certain(self) -> bool:
        """Whether all was to pass."""
        return not self.others

    def plus(self, other: Predicted) -> Predicted:
        return Predicted(
            self.by_spf + other.by_spf,
            self.by_dkim + other.by_dkim,
            self.by_either + other.by_either,
            self.others + other.others,
        )


_NOTHING = Predicted()
CERTAIN = Predicted(by_either=1)
"""What mail from the notifications domain is, as long as nothing else is known."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the ledger says of the days of all domains."""

    _kept: Mapping[tuple[int, str], Predicted]
    """Mail in its author's name, by day and domain."""
    _rewritten: Mapping[int, Predicted]
    """Mail from the notifications domain, by day."""
    _days: frozenset[int]
    _changes: frozenset[tuple[int, str]]

    @classmethod
    def of(cls, receivers: Receivers, *, is_dry: bool) -> Predictions:
        """Read the days of *receivers*; *is_dry* if rules.dry_run may have kept mail as it was."""
        kept: dict[tuple[int, str], Predicted] = defaultdict(Predicted)
        rewritten: dict[int, Predicted] = defaultdict(Predicted)
        for each in receivers.days:
            reason = reason_of(each.reason)
            if reason is None or reason.action is Action.REFUSE:
                continue
            is_rewritten = reason.action is Action.REWRITE
            if not is_rewritten or is_dry:
                # In a dry run the envelope sender stays as it was, too.
                found = _predicted(reason, each.messages, is_dry=is_dry)
                kept[each.day, each.domain] = kept[each.day, each.domain].plus(found)
            if is_rewritten or reason.expected() is Expected.OURS:
                found = _predicted(reason, each.messages, is_dry=False)
                rewritten[each.day] = rewritten[each.day].plus(found)
        days = frozenset(each.day for each in receivers.days)
        return cls(kept, rewritten, days, receivers.changes)

    def of_row(self, key: ReportKey) -> Predicted | Undecided:
        """What was predicted for mail in its author's name."""
        days = self._settled(key)
        if isinstance(days, Undecided):
            return days
        if key.domain in {NO_DOMAIN, OTHER} or not self._days.issuperset(days):
            return Undecided.UNPREDICTED
        found = _sum(self._kept.get((day, key.domain)) for day in days)
        return Undecided.UNPREDICTED if found == _NOTHING else found

    def of_rewritten(self, key: ReportKey) -> Predicted | Undecided:
        """The same for mail from the notifications domain, which has to pass on all days."""
        days = self._settled(key)
        if isinstance(days, Undecided):
            return days
        found = _sum(self._rewritten.get(day) for day in days)
        return CERTAIN if found == _NOTHING else found

    def _settled(self, key: ReportKey) -> range | Undecided:
        days = days_of(key)
        if len(days) > MAX_DAYS:
            return Undecided.TOO_LONG
        if any((day, key.domain) in self._changes for day in days):
            return Undecided.CHANGED
        return days


def days_of(key: ReportKey) -> range:
    """The days of the period of a report."""
    return range(key.first_day, max(key.first_day, key.last_day) + 1, DAY)


def _sum(found: Iterable[Predicted | None]) -> Predicted:
    total = _NOTHING
    for each in found:
        total = total.plus(each) if each else total
    return total


def _predicted(reason: Reason, messages: int, *, is_dry: bool) -> Predicted:
    match reason.expected(is_dry=is_dry):
        case Expected.ALIGNED if reason is Reason.DKIM_ALIGNED:
            return Predicted(by_dkim=messages)
        case Expected.ALIGNED:
            return Predicted(by_spf=messages)
        case Expected.OURS:
            return Predicted(by_either=messages)
        case Expected.FAILURE | Expected.NOTHING:
            return Predicted(others=messages)
