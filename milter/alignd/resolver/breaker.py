"""The circuit breaker of DNS: an outage costs one timeout, not one for each message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

RETRY_SECONDS = 1.0
"""How long to wait between two probes while DNS is down."""


class CircuitBreaker:
    """Opens when DNS as a whole is silent, and closes when it answers again; safe for threads.

    It opens when a query times out and no nameserver has answered any other query since that one
    was sent. One slow domain does not keep it open: it probes at once, and closes when any
    nameserver answers.
    """

    def __init__(self, probe: Callable[[], bool], report: Callable[[str], None]) -> None:
        """*probe* sends a query and says whether any nameserver answered, be it with an error."""
        self._probe = probe
        self._report = report
        self._last_response = 0.0
        self._is_open = False
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether to ask no nameserver."""
        return self._is_open

    def record_response(self) -> None:
        """Take note that a nameserver answered, be it with an error."""
        self._last_response = time.monotonic()

    def record_timeout(self, asked: float) -> None:
        """Take note that a query, sent at the monotonic time *asked*, was not answered."""
        with self._lock:
            if self._is_open or self._last_response > asked:
                return
            self._is_open = True
        threading.Thread(target=self._close_when_answered, name="dns probe", daemon=True).start()

    def _close_when_answered(self) -> None:
        opened, reported = time.monotonic(), False
        while not self._probe():
            # Reported only now: the first probe closes it again after one slow domain.
            if not reported:
                self._report("DNS is down: last known answers stay in use, all else is unknown")
                reported = True
            time.sleep(RETRY_SECONDS)
        self._last_response = time.monotonic()
        self._is_open = False
        if reported:
            self._report(f"DNS is back after {time.monotonic() - opened:.0f} s")
