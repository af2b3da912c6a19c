"""The days that a digest is about."""

from __future__ import annotations

from dataclasses import dataclass

DAYS = 7
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Week:
    """Seven whole days (UTC)."""

    since: float
    """The Unix time at which the first begins."""

    @classmethod
    def ended(cls, now: float, weeks_ago: int = 0) -> Week:
        """The last seven days that were over at the Unix time *now*, or those weeks before."""
        today = int(now) // _DAY * _DAY
        return cls(float(today - DAYS * (weeks_ago + 1) * _DAY))

    @property
    def until(self) -> float:
        """When it is over."""
        return self.since + DAYS * _DAY

    @property
    def last_day(self) -> float:
        """When the last day begins."""
        return self.until - _DAY

    @property
    def before(self) -> Week:
        return Week(self.since - DAYS * _DAY)
