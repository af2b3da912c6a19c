"""What receivers said until a moment, as pages have it: joined once, and not for each request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from alignd.ledger.answer import OTHER
from alignd.ledger.batch import DAY
from alignd.ledger.receivers.rows import PredictedDay, Receivers, ReplyKey, ReportKey
from alignd.reports.joined import Joined, join

SPANS = (92, 31, 7)
"""Days that are looked at: three months, so that there is a share for each; fewer where the
ledger has more rows of them than it tells at once."""
RECENT_DAYS = 7
"""What is so old does not alarm anybody any more; a report comes a day or two late."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What receivers said, and what it means beside the predictions."""

    receivers: Receivers
    joined: Joined
    recent: Joined
    """Of the last RECENT_DAYS."""
    of_domains: Mapping[str, Receivers]
    """By author domain."""
    is_dry: bool
    days: int
    """The days that were looked at."""
    taken_at: float
    """Unix time."""

    @classmethod
    def of(cls, receivers: Receivers, days: int, taken_at: float, *, is_dry: bool) -> Heard:
        """Join *receivers*, of the last *days*; *is_dry* as `join` has it."""
        recent = _since(receivers, taken_at - RECENT_DAYS * DAY)
        return cls(
            receivers,
            join(receivers, is_dry=is_dry),
            join(recent, is_dry=is_dry),
            _by_domain(receivers),
            is_dry,
            days,
            taken_at,
        )

    def age(self, now: float) -> float:
        """The seconds since it was read, at the Unix time *now*; 0 if a clock was set back."""
        return max(0.0, now - self.taken_at)

    def of_domain(self, name: str) -> tuple[Receivers, Joined]:
        """The same of one author domain alone."""
        found = self.of_domains.get(name, Receivers())
        return found, join(found, is_dry=self.is_dry)


def _since(receivers: Receivers, since: float) -> Receivers:
    return replace(
        receivers,
        replies=tuple(each for each in receivers.replies if each[0].day + DAY > since),
        rows=tuple(each for each in receivers.rows if each[0].last_day + DAY > since),
    )


def _by_domain(receivers: Receivers) -> Mapping[str, Receivers]:
    replies: dict[str, list[tuple[ReplyKey, int]]] = defaultdict(list)
    rows: dict[str, list[tuple[ReportKey, int]]] = defaultdict(list)
    days: dict[str, list[PredictedDay]] = defaultdict(list)
    for reply in receivers.replies:
        replies[reply[0].domain].append(reply)
    for row in receivers.rows:
        rows[row[0].domain].append(row)
    for day in receivers.days:
        days[day.domain].append(day)
    # Those of other domains say which days the ledger knows: on some this one had no mail.
    others = days[OTHER]
    return {
        name: Receivers(
            tuple(replies[name]),
            tuple(rows[name]),
            days=(*days[name], *others),
            changes=receivers.changes,
        )
        for name in {*replies, *rows} - {"", OTHER}
    }
