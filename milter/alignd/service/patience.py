"""When to try again what failed, and for how long a process has been silent."""

from __future__ import annotations

import time

from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import ChildKind, ProcessMetrics

_FIRST_PAUSE_SECONDS = 1.0  # also the least time between two starts
_LONGEST_PAUSE_SECONDS = 10.0
_LONGEST_LOOK_SECONDS = 3.0  # more than the supervisor is busy for while all is well


class Attempts:
    """Starts of one kind of process: the next one is due after a pause, longer after a failure.

    A shortage of the machine passes, so nothing is given up. Each kind of trouble is logged when
    it begins, and once more when it is over.
    """

    def __init__(self, kind: ChildKind, log: MessageLog, metrics: ProcessMetrics) -> None:
        """*metrics* are the supervisor's."""
        self._kind = kind
        self._log = log
        self._metrics = metrics
        self._pause = 0.0
        self._next = 0.0
        self._has_failed = False  # since it was begun last
        self._told: set[str] = set()  # problems since the last success
        self._troubled_since = 0.0

    @property
    def are_due(self) -> bool:
        return time.monotonic() >= self._next

    def begin(self) -> None:
        """Note that some begin: processes that end at once must not keep the machine busy."""
        self._has_failed = False
        self._next = time.monotonic() + _FIRST_PAUSE_SECONDS

    def failed(self, problem: str) -> None:
        """Count it, and lengthen the pause, once for what was begun together."""
        self._metrics.start_failed(self._kind)
        now = time.monotonic()
        if not self._told:
            self._troubled_since = now
        if problem not in self._told:
            self._told.add(problem)
            self._log.service(
                "process cannot be started: it is tried again",
                process=self._kind.value,
                problem=problem,
            )
        if not self._has_failed:
            self._has_failed = True
            longer = max(_FIRST_PAUSE_SECONDS, 2 * self._pause)
            self._pause = min(longer, _LONGEST_PAUSE_SECONDS)
            self._next = now + self._pause

    def succeeded(self) -> None:
        self._pause = 0.0
        if self._told:
            seconds = time.monotonic() - self._troubled_since
            self._log.service(
                "process is started again", process=self._kind.value, seconds=round(seconds, 1)
            )
            self._told.clear()

    def reset(self) -> None:
        """Let the next one be due at once."""
        self._next = 0.0


class Silence:
    """How long nothing was heard of a process, in time in which its supervisor could hear.

    Of the time between two looks a few seconds count: when the whole service was stopped, as with
    its virtual machine, a silence until now says nothing of the process.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._looked = time.monotonic()

    def end(self) -> None:
        """Note that something was heard."""
        self._seconds = 0.0

    def look(self) -> float:
        """Its seconds so far."""
        now = time.monotonic()
        self._seconds += min(now - self._looked, _LONGEST_LOOK_SECONDS)
        self._looked = now
        return self._seconds
