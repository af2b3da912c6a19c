"""When to try again what failed, and for how long a process has been silent."""

from __future__ import annotations

from collections.abc import Callable

from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import ChildKind

_FIRST_PAUSE_SECONDS = 1.0  # also the least time between two starts
_LONGEST_PAUSE_SECONDS = 10.0
_LONGEST_LOOK_SECONDS = 3.0  # more than the supervisor is busy for while all is well


class Attempts:
    """Starts of one kind of process: the next one is due after a pause, longer after a failure.

    A shortage of the machine passes, so nothing is given up. Each kind of trouble is logged when
    it begins, and once more when it is over.
    """

    def __init__(
        self,
        kind: ChildKind,
        clock: Callable[[], float],
        log: MessageLog,
        metrics: ProcessMetrics,
    ) -> None:
        """*metrics* are the supervisor's; *clock* is a monotonic one, in seconds."""
        self.kind = kind
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._pause = 0.0
        self._next = 0.0
        self._has_failed = False  # since it was begun last
        self._told: set[str] = set()  # problems since the last success
        self._troubled_since = 0.0

    @property
    def are_due(self) -> bool:
        return self._clock() >= self._next

    def begin(self) -> None:
        """Note that some begin: processes that end at once must not keep the machine busy."""
        self._has_failed = False
        self._next = self._clock() + _FIRST_PAUSE_SECONDS

    def failed(self, problem: str) -> None:
        """Count it, and lengthen the pause, once for what was begun together."""
        self._metrics.start_failed(self.kind)
        now = self._clock()
        if not self._told:
            self._troubled_since = now
        if problem not in self._told:
            self._told.add(problem)
            self._log.service(
                "process cannot be started: it is tried again",
                process=self.kind.value,
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
            seconds = self._clock() - self._troubled_since
            self._log.service(
                "process is started again", process=self.kind.value, seconds=round(seconds, 1)
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

    def __init__(self, now: float) -> None:
        """*now* is of a monotonic clock, in seconds."""
        self._seconds = 0.0
        self._looked = now

    def end(self) -> None:
        """Note that something was heard."""
        self._seconds = 0.0

    def look(self, now: float) -> float:
        """Its seconds so far."""
        self._seconds += min(now - self._looked, _LONGEST_LOOK_SECONDS)
        self._looked = now
        return self._seconds
