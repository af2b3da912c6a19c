"""What receivers said until a moment, as pages have it: joined once, and not for each request."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.ledger.receivers.rows import Receivers
from alignd.reports.joined import Joined

SPAN_DAYS = 92
"""Days that are looked at: three months, so that there is a share for each."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What receivers said, and what it means beside the predictions."""

    receivers: Receivers
    joined: Joined
    taken_at: float
    """Unix time."""

    def age(self, now: float) -> float:
        """The seconds since it was read, at the Unix time *now*; 0 if a clock was set back."""
        return max(0.0, now - self.taken_at)
