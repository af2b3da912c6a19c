"""The circuit breaker of DNS: an outage costs a few timeouts, not one for each message."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from alignd.resolver.trouble import domain_of

RETRY_SECONDS = 1.0
"""How long to wait between two probes while DNS is down."""
OPEN_SECONDS = 10.0
"""How long a probe that was not answered keeps the breaker open: much longer than until the next
one has failed, and should there be no next one, a message tries."""
TRIAL_PAUSE_SECONDS = 2.0
"""Between the end of a trial that was not answered and the next one, while it is half open."""
UNANSWERED = 5
"""Domains in a row without any answer in between, after which DNS is down even though a probe is
answered: a resolver whose uplink is down still answers what it knows, such as NS of the root."""


class CircuitBreaker:
    """Opens when DNS as a whole is silent, and closes when it answers again; safe for threads.

    One silent domain is no outage: after a query that times out, while no nameserver answers any
    other, a probe is sent, and only when that is not answered either does the breaker open. Until
    then messages ask as usual.

    When the probe is answered and nothing else is, the breaker is half open: one message at a time
    asks, until one is answered. So it is when no probe has kept it open for a while, whatever has
    become of the thread that sends them.
    """

    def __init__(
        self,
        probe: Callable[[], bool],
        report: Callable[[str], None],
        clock: Callable[[], float],
        probe_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """*probe* sends a query and says whether any nameserver answered, be it with an error.

        *clock* gives monotonic seconds; *probe_failed* is called when the probe raises.
        """
        self._probe = probe
        self._log = report
        self._clock = clock
        self._probe_failed = probe_failed
        self._lock = threading.Lock()
        self._last_response = -math.inf
        self._unanswered: set[str] = set()  # the domains since the last answer
        self._down_since: float | None = None  # None while it is closed
        self._open_until = -math.inf
        self._next_trial = -math.inf
        self._is_silent = False  # whether a probe was not answered, since it was closed
        self._generation = 0  # of the nameservers that are asked
        self._prober: threading.Thread | None = None
        self._ended = threading.Event()
        self._reported: set[str] = set()  # by class of exception, so few

    @property
    def is_closed(self) -> bool:
        """Whether all may ask."""
        return self._down_since is None

    @property
    def is_open(self) -> bool:
        """Whether to ask no nameserver."""
        return self._clock() < self._open_until

    def may_ask(self, seconds: float) -> bool:
        """Whether a message may ask something, and wait for up to *seconds*.

        While the breaker is half open, the next one may a moment after these are over: whatever
        becomes of a message, it keeps nobody from asking for longer.
        """
        if self.is_closed:
            return True
        with self._lock:
            now = self._clock()
            if now < max(self._open_until, self._next_trial):
                return False
            self._next_trial = now + seconds + TRIAL_PAUSE_SECONDS
            return True

    def record_response(self) -> None:
        """Take note that a nameserver answered a question, be it with an error that came soon."""
        self._last_response = self._clock()
        if self._unanswered or not self.is_closed:
            self._close()

    def record_timeout(self, name: str, asked: float) -> None:
        """Take note that the question of *name*, asked at *asked*, was not answered in time."""
        with self._lock:
            if self._last_response > asked or self._ended.is_set():
                return
            if len(self._unanswered) < UNANSWERED:
                self._unanswered.add(domain_of(name))
            begins = self.is_closed and len(self._unanswered) == UNANSWERED
            if begins:
                self._down_since = asked
            self._start_prober()
        if begins:
            self._report(
                "DNS does not answer: last known answers stay in use, one message at a time asks"
            )

    def start_afresh(self) -> None:
        """Close: from now on others are asked, of whom nothing is known yet."""
        with self._lock:
            self._generation += 1
            self._forget()

    def end(self) -> None:
        """Probe no more: nobody asks these nameservers any longer."""
        self._ended.set()

    def _start_prober(self) -> None:
        if self._prober is not None and self._prober.is_alive():
            return
        prober = threading.Thread(target=self._watch, name="dns probe", daemon=True)
        try:
            prober.start()
        except RuntimeError:  # no thread left: the next timeout tries again
            return
        self._prober = prober

    def _watch(self) -> None:
        """Probe until that is answered, or another question is."""
        began = self._clock()
        while not self._ended.is_set():
            generation = self._generation
            answered = self._is_answered()
            # Looked at here as well: it may have come while `_open` was on its way.
            if self._last_response > began:
                self._close()
                return
            if answered:
                if self._is_silent:
                    self._close()
                return
            if answered is not None:
                self._open(began, generation)
            self._ended.wait(RETRY_SECONDS)
        self._open_until = -math.inf

    def _is_answered(self) -> bool | None:
        """Whether a probe is answered; None when it could not be sent."""
        try:
            return self._probe()
        except Exception as error:
            # It says nothing of DNS, and the next one may do the same: until one is sent, one
            # message at a time asks, and what it hears counts.
            self._open_until = -math.inf
            problem = type(error).__name__
            if problem not in self._reported:
                self._reported.add(problem)
                self._report(f"DNS probe failed: {problem}")
            self._probe_failed()
            return None

    def _open(self, began: float, generation: int) -> None:
        with self._lock:
            if generation != self._generation:  # others were asked
                return
            begins, self._is_silent = not self._is_silent, True
            self._down_since = self._down_since or began
            self._open_until = self._clock() + OPEN_SECONDS
        if begins:
            self._report("DNS is down: last known answers stay in use, all else is unknown")

    def _close(self) -> None:
        with self._lock:
            since = self._down_since
            self._forget()
        if since is not None:
            self._report(f"DNS is back after {self._clock() - since:.0f} s")

    def _forget(self) -> None:
        self._down_since = None
        self._unanswered.clear()
        self._open_until = self._next_trial = -math.inf
        self._is_silent = False

    def _report(self, text: str) -> None:
        try:
            self._log(text)
        except Exception:  # a log that fails is no reason to stop what closes the breaker
            self._probe_failed()
