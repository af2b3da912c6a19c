"""Forks the supervisor's children, reaps them, and makes sure that they end when it does."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alignd.service.processes.signals import SIGNALS
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.words import ChildKind

SILENCE_SECONDS = 10.0
"""A child that gives no sign of life for this long hangs, and is replaced."""
_OOM_SCORE = Path("/proc/self/oom_score_adj")  # proc(5)
_DIE_FIRST = 200  # a fifth of the machine's memory
_MAX_SCORE = 1000
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # prctl(2)


@dataclass(slots=True)
class ChildProcess:
    """A process that was forked."""

    pid: int
    exit_code: int | None = None
    """Its status, or minus the signal that ended it; None until it has been reaped."""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has been reaped: the kernel may give its id to another."""
        if self.exit_code is None:
            os.kill(self.pid, number)


class ChildProcesses:
    """All children of this process."""

    def __init__(self, log: MessageLog) -> None:
        self._log = log
        self._running: dict[int, ChildProcess] = {}
        self._close: list[Callable[[], None]] = []

    def close_in_each(self, close: Callable[[], None]) -> None:
        """Call *close* in each child from now on, for descriptors that are its parent's alone."""
        self._close.append(close)

    def fork(self, kind: ChildKind, run: Callable[[], int]) -> ChildProcess:
        """Fork a process that exits with the status that *run* returns.

        TERM ends it, and the kernel sends TERM when the supervisor dies, however it dies. INT,
        which a terminal sends to the whole group, is ignored: the supervisor handles it. HUP stays
        blocked until the process unblocks it.

        Raises:
            OSError: there is no room for a process.
        """
        parent = os.getpid()
        # Until the child sets handlers of its own, it has the supervisor's, which would note a
        # signal in the child's copy of memory, where nobody looks. Blocked, the signal waits.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            child = self._running[pid] = ChildProcess(pid)
            return child
        # From here on this is the child. No exception may leave this function: it would unwind
        # into the supervisor's loop, and two processes would supervise.
        status = os.EX_SOFTWARE
        try:
            _become_child_of(parent, kind)
            self._log.after_fork()
            for close in self._close:
                close()
            status = run()
        except Exception as error:
            self._log.service("process failed", process=kind.value, error=described(error))
        finally:
            try:
                self._log.close()
            finally:
                # Not sys.exit(): Python's finalization would run the parent's exit handlers and
                # flush its buffers a second time, while libmilter's thread is still running.
                os._exit(status)

    def reap(self) -> None:
        """Note which have ended.

        As process 1 of a container it gets processes that it has not started: these are reaped
        as well, or they would stay in the table of processes until it is full.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:  # there are none
                return
            if not pid:
                return
            if child := self._running.pop(pid, None):
                child.exit_code = os.waitstatus_to_exitcode(status)

    def __len__(self) -> int:
        """How many have not been reaped."""
        return len(self._running)


def pin_to_core(number: int, log: MessageLog) -> None:
    """Let this process, the worker with that *number*, run on one core only.

    Its threads share one interpreter lock. On several cores they wake each other in vain, which
    costs a quarter to half of the throughput (measured).
    """
    cores = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    except OSError as error:  # the operator's sandbox forbids it: slower, but it works
        log.service("worker cannot be pinned to one core: it is slower", problem=str(error))


def _let_die_first() -> None:
    """Let the kernel, when memory is short, kill this process rather than the supervisor.

    A worker is replaced; with the supervisor, which shares most of its memory and so looks as
    large, all of them end (measured: in a cgroup of 70 MiB, 7 of 7 kills ended the service).
    """
    try:
        score = int(_OOM_SCORE.read_text())
        _OOM_SCORE.write_text(str(min(score + _DIE_FIRST, _MAX_SCORE)))
    except (OSError, ValueError):
        return  # no /proc, or none that can be written: the kernel chooses as before


def _become_child_of(parent: int, kind: ChildKind) -> None:
    # For ps(1) and top(1); of 15 letters, as `alignd: archive` has them.
    ctypes.CDLL(None).prctl(_PR_SET_NAME, f"alignd: {kind.value}".encode())
    # The wakeup descriptor is the supervisor's: a signal of this process would wake that one.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGHUP})
    _let_die_first()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that call
        os.kill(os.getpid(), signal.SIGTERM)
