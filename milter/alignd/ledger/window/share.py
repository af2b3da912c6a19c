"""Bounds the processor time of questions, so that the mail of a relay is counted meanwhile."""

from __future__ import annotations


class ProcessorShare:
    """So much of a core, and what was not used for a while. For one thread at a time."""

    def __init__(self, share: float, saved: float, now: float) -> None:
        """*saved*: the seconds that are saved at most. *now* is a monotonic time, as below."""
        self._share = share
        self._most = self._left = saved
        self._at = now

    def wait(self, now: float) -> float:
        """The seconds until somebody may work again."""
        self._fill(now)
        return max(0.0, -self._left / self._share)

    def spend(self, seconds: float, now: float) -> None:
        """Note that somebody has worked for so many *seconds* of the processor."""
        self._fill(now)
        self._left -= seconds

    def _fill(self, now: float) -> None:
        self._left = min(self._most, self._left + (now - self._at) * self._share)
        self._at = now
