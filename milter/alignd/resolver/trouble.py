"""Tells when DNS is bad, be it silent, failing or slow: who has a last known answer waits no more.

One bad domain is not bad DNS. So what came late, or never, counts once for each domain in a row,
and each answer in time takes one back.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

LATE_SECONDS = 0.5
"""What takes longer was too late. A resolver that has to ask others takes 20 to 300 ms; RFC 8767,
section 5, lets a client wait for up to 1.8 s before it gets an answer that is stale, which is all
the time that a message has."""
TROUBLED_SECONDS = 10.0
"""How long known domains do not wait, after the last sign that DNS is bad."""
_BAD = 2  # late ones in a row, each of another domain than the one before
_WORST = 3  # so that two answers in time are enough for the end
_LABELS = 3


def domain_of(name: str) -> str:
    """The domain that *name* belongs to, roughly: who owns it has its nameservers.

    No more labels than three, or one owner could pass for many; no fewer, for those whose names
    end in two labels that all have in common (co.uk). _dmarc and _domainkey belong to the owner.
    """
    labels = [label for label in name.split(".") if not label.startswith("_")]
    return ".".join(labels[-_LABELS:])


class Trouble:
    """Whether DNS is bad; safe for threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """*clock* gives monotonic seconds."""
        self._clock = clock
        self._late = 0
        self._last_late = ""
        self._until = -math.inf
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether DNS is bad."""
        return self._late >= _BAD or self._clock() < self._until

    @property
    def is_suspected(self) -> bool:
        """Whether DNS is bad, or may be: the last question was not answered in time."""
        return self._late > 0 or self._clock() < self._until

    def record_in_time(self) -> None:
        """Take note of an answer in time."""
        if self._late:
            with self._lock:
                self._late = max(0, self._late - 1)
                self._last_late = ""

    def record_late(self, name: str) -> None:
        """Take note that the question of *name* was answered late, or not at all."""
        domain = domain_of(name)
        with self._lock:
            if domain == self._last_late:
                return
            self._last_late = domain
            self._late = min(self._late + 1, _WORST)
            if self._late >= _BAD:
                self._until = self._clock() + TROUBLED_SECONDS
