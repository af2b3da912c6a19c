"""Keeps a process running that serves no mail, such as the one for metrics: the parent's side."""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from alignd.mta import listening_socket
from alignd.service.processes.child_process import SILENCE_SECONDS, ChildProcess, ChildProcesses
from alignd.service.processes.patience import Attempts, Silence
from alignd.telemetry.log import MessageLog

BEAT_SECONDS = 1.0
"""How often the process has to give a sign of life."""
END_SECONDS = 2.0
"""How long it may take to end after TERM, if nothing else is said."""
_COUNT = 2**32  # of signs of life, then from 0 again

Options = TypeVar("Options")


@dataclass(slots=True)
class _Run:
    """A process from its start to its end."""

    child: ChildProcess
    heard: int
    """The sign of life that was seen last."""
    silence: Silence
    has_lived: bool = False
    is_unwanted: bool = False
    kill_at: float = inf


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Give signs of life meanwhile, in a thread: for what cannot do so itself."""
    ended = threading.Event()

    def give() -> None:
        while not ended.wait(BEAT_SECONDS):
            beat()

    thread = threading.Thread(target=give, name="beats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class AuxiliaryProcess(Generic[Options]):
    """Starts a process, replaces it when it dies or hangs, and ends it.

    Its sign of life is a number in shared memory: to read it takes no descriptor and no wait.
    """

    def __init__(
        self,
        run: Callable[[Options, Callable[[], None]], None],
        children: ChildProcesses,
        attempts: Attempts,
        on_end: Callable[[], None],
        log: MessageLog,
        stop_listening: Callable[[], None] = listening_socket.stop_listening,
        end_seconds: float = END_SECONDS,
    ) -> None:
        """*run* is called in the process, with its options and a function to call every second.

        *attempts* are those to start it; *on_end* clears what it has said of itself. In the
        process *stop_listening* leaves the milter's socket, which is the workers'.
        """
        self._run_child = run
        self._children = children
        self._attempts = attempts
        self._on_end = on_end
        self._log = log
        self._stop_listening = stop_listening
        self._end_seconds = end_seconds
        self._beats = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self._options: Options | None = None
        self._run: _Run | None = None

    def keep_running(self, options: Options | None) -> None:
        """Let it run with these *options*, or not at all; called in each round of the supervisor.

        It never waits: what cannot be done yet is done in a later round.
        """
        if self._run is not None:
            self._look_at(self._run)
        if options != self._options:
            self._options = options
            self._attempts.reset()
            self.end()
        if options is not None and self._run is None and self._attempts.are_due:
            self._start(options)

    @property
    def is_missing(self) -> bool:
        """Whether it should run, and has given no sign of life since it was started last."""
        return self._options is not None and (self._run is None or not self._run.has_lived)

    def reload(self) -> None:
        """Tell it to load what it runs with."""
        if self._run is not None:
            self._run.child.signal(signal.SIGHUP)

    def end(self) -> None:
        """Tell it to end; a later round of `keep_running` kills it if it does not."""
        if self._run is not None:
            self._run.is_unwanted = True
            self._run.kill_at = min(self._run.kill_at, time.monotonic() + self._end_seconds)
            self._run.child.signal(signal.SIGTERM)

    def _start(self, options: Options) -> None:
        def run() -> int:
            self._stop_listening()
            self._run_child(options, self._beat)
            return os.EX_OK

        self._attempts.begin()
        heard, silence = self._beats[0], Silence(time.monotonic())
        try:
            self._run = _Run(self._children.fork(self._attempts.kind, run), heard, silence)
        except OSError as error:
            self._attempts.failed(error.strerror or str(error))

    def _beat(self) -> None:
        self._beats[0] = (self._beats[0] + 1) % _COUNT

    def _look_at(self, run: _Run) -> None:
        pid, code, now = run.child.pid, run.child.exit_code, time.monotonic()
        kind = self._attempts.kind.value
        if code is not None:
            self._run = None
            self._on_end()
            if not run.is_unwanted:
                self._log.service(
                    "process ended and is replaced", process=kind, pid=pid, status=code
                )
                if not run.has_lived:
                    self._attempts.failed(f"it ended with status {code}")
            return
        silent = run.silence.look(now)
        if run.heard != self._beats[0]:
            run.heard, run.has_lived = self._beats[0], True
            run.silence.end()
            self._attempts.succeeded()
        elif silent > SILENCE_SECONDS and run.kill_at == inf:
            self._log.service("process hangs and is killed", process=kind, pid=pid)
            run.kill_at = now
        if now >= run.kill_at:
            run.child.signal(signal.SIGKILL)
