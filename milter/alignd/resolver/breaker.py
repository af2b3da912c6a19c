"""Knows whether DNS as a whole is down, so that an outage costs one timeout, not one a message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

RETRY_SECONDS = 1.0
"""How often it is tried in the background whether DNS is back."""


class CircuitBreaker:
    """A circuit breaker around the nameservers; safe for threads.

    It opens when a question met silence and nothing was heard of any other since that question
    was asked. One slow domain does not open it for long: the first trial follows at once.
    """

    def __init__(self, is_answered: Callable[[], bool], report: Callable[[str], None]) -> None:
        """*is_answered* asks something, and says whether any nameserver said anything."""
        self._is_answered = is_answered
        self._report = report
        self._last_heard = 0.0
        self._down_since: float | None = None
        self._lock = threading.Lock()

    @property
    def is_down(self) -> bool:
        """Whether it is pointless to ask."""
        return self._down_since is not None

    def heard(self) -> None:
        """Note that a nameserver said something."""
        self._last_heard = time.monotonic()

    def met_silence(self, asked: float) -> None:
        """Note that a question, asked at the monotonic time *asked*, was not answered."""
        with self._lock:
            if self.is_down or self._last_heard > asked:
                return
            self._down_since = time.monotonic()
        threading.Thread(target=self._wait_for_answer, name="dns trial", daemon=True).start()

    def _wait_for_answer(self) -> None:
        down_since, reported = time.monotonic(), False
        pause = threading.Event()
        while not self._is_answered():
            if not reported:
                self._report("DNS is down: answers that are known are used, others are unknown")
                reported = True
            pause.wait(RETRY_SECONDS)
        self._last_heard = time.monotonic()
        self._down_since = None
        if reported:
            self._report(f"DNS is back after {time.monotonic() - down_since:.0f} s")
