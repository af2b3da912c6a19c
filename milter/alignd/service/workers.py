"""Keeps the workers running that serve mail: the supervisor's side."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignd.mta.suspects import SUSPECT_SECONDS
from alignd.service.processes.child_process import SILENCE_SECONDS, ChildProcess, ChildProcesses
from alignd.service.processes.patience import Attempts, Silence
from alignd.service.shared import Shared
from alignd.service.worker import ALIVE, DRAINING, RELOADED
from alignd.telemetry.log import MessageLog
from alignd.telemetry.words import ChildKind

_CLOSED = -1


@dataclass(slots=True)
class _Worker:
    """A worker, as its supervisor sees it."""

    child: ChildProcess
    number: int
    """From 0; a replacement takes over the number of the dead worker."""
    heartbeat: int
    """The descriptor to read heartbeats from, or _CLOSED."""
    silence: Silence
    is_ready: bool = False
    is_reloading: bool = False
    is_draining: bool = False
    is_killed: bool = False


class Workers:
    """All workers."""

    def __init__(
        self,
        wanted: int,
        serve: Callable[[int, int], int],
        children: ChildProcesses,
        attempts: Attempts,
        shared: Shared,
        log: MessageLog,
    ) -> None:
        """*serve* is called in each, with its number and the descriptor to write heartbeats to."""
        self.wanted = wanted
        self._serve = serve
        self._children = children
        self._attempts = attempts
        self._shared = shared
        self._log = log
        self._running: list[_Worker] = []
        self._started = 0
        self._is_draining = False
        children.close_in_each(self._close_heartbeats)

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._running)

    @property
    def ready(self) -> int:
        """How many are ready for mail."""
        return sum(worker.is_ready for worker in self._running)

    @property
    def are_settled(self) -> bool:
        """Whether all that are wanted serve, with the setup in force."""
        return self.ready == self.wanted and not any(each.is_reloading for each in self._running)

    @property
    def are_draining(self) -> bool:
        """Whether none takes connections any more."""
        return all(worker.is_draining for worker in self._running)

    def start_missing(self) -> None:
        """Start one for each that is missing, if it is time to; those that run go on."""
        missing = set(range(self.wanted)) - {worker.number for worker in self._running}
        if not missing or not self._attempts.are_due:
            return
        self._attempts.begin()
        for number in sorted(missing):
            try:
                self._running.append(self._start(number))
            except OSError as error:  # no process, or no descriptor, is left for it
                self._attempts.failed(error.strerror or str(error))
                return
            if self._started >= self.wanted:
                self._shared.metrics.worker_replaced()
            self._started += 1

    def heartbeats(self) -> Iterator[int]:
        """The descriptors to wait for, until `read_heartbeats` has something to read."""
        return (each.heartbeat for each in self._running if each.heartbeat != _CLOSED)

    def read_heartbeats(self) -> None:
        for worker in self._running:
            if worker.heartbeat != _CLOSED:
                self._read_heartbeat(worker)

    def remove_ended(self) -> None:
        """Forget those that have been reaped, and suspect what they were judging."""
        for worker in list(self._running):
            code = worker.child.exit_code
            if code is None:
                continue
            self._running.remove(worker)
            self._close(worker)
            self._log.service("worker ended", pid=worker.child.pid, status=code)
            self._clear(worker.number, has_failed=code != os.EX_OK)
            if not worker.is_ready and not self._is_draining:
                self._attempts.failed(f"it ended with status {code}")

    def kill_hung(self) -> None:
        for worker in self._running:
            if worker.silence.look(time.monotonic()) > SILENCE_SECONDS and not worker.is_killed:
                self._log.service("worker hangs and is killed", pid=worker.child.pid)
                worker.is_killed = True
                worker.child.signal(signal.SIGKILL)

    def reload(self) -> None:
        """Have them load the setup; those that start from now on have it from the start."""
        for worker in self._running:
            worker.is_reloading = True
            worker.child.signal(signal.SIGHUP)

    def drain(self) -> None:
        """Have them end, once their sessions have."""
        self._is_draining = True
        for worker in self._running:
            worker.child.signal(signal.SIGTERM)

    def kill(self) -> None:
        for worker in self._running:
            worker.child.signal(signal.SIGKILL)

    def _start(self, number: int) -> _Worker:
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        # Runs in the child, on its copy of the supervisor: the setup, the workers and the
        # descriptors are those of the moment of the fork.
        def work() -> int:
            os.close(ours)
            return self._serve(number, theirs)

        try:
            child = self._children.fork(ChildKind.WORKER, work)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return _Worker(child, number, ours, Silence(time.monotonic()))

    def _read_heartbeat(self, worker: _Worker) -> None:
        try:
            words = os.read(worker.heartbeat, 4096)
        except BlockingIOError:
            return
        if not words:  # it is about to end
            self._close(worker)
            return
        worker.silence.end()
        if ALIVE in words and not worker.is_ready:
            worker.is_ready = True
            self._attempts.succeeded()
        worker.is_reloading = worker.is_reloading and RELOADED not in words
        worker.is_draining = worker.is_draining or DRAINING in words

    def _clear(self, number: int, *, has_failed: bool) -> None:
        if count := self._shared.worker_ended(number, has_failed=has_failed):
            self._log.service(
                "messages like those that it was judging are rewritten unjudged for a while",
                messages=count,
                seconds=SUSPECT_SECONDS,
            )

    def _close(self, worker: _Worker) -> None:
        if worker.heartbeat != _CLOSED:
            os.close(worker.heartbeat)
            worker.heartbeat = _CLOSED

    def _close_heartbeats(self) -> None:
        """In a child: close the read ends of the other workers' heartbeats.

        While one is open, its worker gets no EPIPE, and so does not see the supervisor's death.
        """
        for worker in self._running:
            self._close(worker)
