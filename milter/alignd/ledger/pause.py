"""How long to wait before what has failed is tried again: longer each time."""

from __future__ import annotations


class Pause:
    """Seconds to wait, twice as many after each failure in a row."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def after_failure(self) -> float:
        """The seconds to wait now."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return pause

    def end(self) -> None:
        """Take note of a success."""
        self._next = self._first
