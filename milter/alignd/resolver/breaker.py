"""The circuit breaker of DNS: an outage costs a few timeouts, not one for each message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

RETRY_SECONDS = 1.0
"""How long to wait between two probes while DNS is down."""


class CircuitBreaker:
    """Opens when DNS as a whole is silent, and closes when it answers again; safe for threads.

    One silent domain is no outage: after a query that times out, while no nameserver answers any
    other, a probe is sent, and only when that is not answered either does the breaker open. Until
    then messages ask as usual.
    """

    def __init__(self, probe: Callable[[], bool], report: Callable[[str], None]) -> None:
        """*probe* sends a query and says whether any nameserver answered, be it with an error."""
        self._probe = probe
        self._report = report
        self._last_response = 0.0
        self._is_open = False
        self._is_probing = False
        self._starts = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._reported: set[str] = set()  # by class of exception, so few

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
            if self._is_probing or self._last_response > asked or self._ended.is_set():
                return
            self._is_probing = True
        try:
            threading.Thread(target=self._watch, name="dns probe", daemon=True).start()
        except RuntimeError:  # no thread left: the next timeout tries again
            self._is_probing = False

    def start_afresh(self) -> None:
        """Close: from now on others are asked, of whom nothing is known yet."""
        self._starts += 1
        self._is_open = False

    def end(self) -> None:
        """Probe no more: nobody asks these nameservers any longer."""
        self._ended.set()

    def _watch(self) -> None:
        try:
            self._open_until_answered()
        finally:
            # Whatever happens here: with nobody left to close it, it must not stay open.
            self._is_open = False
            self._is_probing = False

    def _open_until_answered(self) -> None:
        began, was_open = time.monotonic(), False
        while not self._is_answered(began):
            if self._is_open and not was_open:
                self._report("DNS is down: last known answers stay in use, all else is unknown")
                was_open = True
            if self._ended.wait(RETRY_SECONDS):
                return
        self._last_response = time.monotonic()
        if was_open:
            self._report(f"DNS is back after {time.monotonic() - began:.0f} s")

    def _is_answered(self, began: float) -> bool:
        """Probe, and open if that is not answered; whether DNS answers since *began*."""
        starts = self._starts
        try:
            answered = self._probe()
        except Exception as error:
            # It says nothing of DNS, and the next one may do the same: until one is sent,
            # messages ask as usual, and what they hear counts.
            self._report_once(f"DNS probe failed: {type(error).__name__}")
            self._is_open = False
            return self._last_response > began
        answered = answered or self._last_response > began
        self._is_open = not answered and starts == self._starts
        return answered

    def _report_once(self, problem: str) -> None:
        if problem not in self._reported:
            self._reported.add(problem)
            self._report(problem)
