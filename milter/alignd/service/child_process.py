"""Forks the supervisor's children, and makes sure that they end when it does."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from alignd.telemetry.log import MessageLog, described

_PR_SET_PDEATHSIG = 1  # prctl(2)
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


def fork(name: str, run: Callable[[], int], log: MessageLog) -> int:
    """Fork a process that exits with the status that *run* returns; its process id.

    TERM ends it, and the kernel sends TERM when the supervisor dies, however it dies. INT, which
    a terminal sends to the whole group, is ignored: the supervisor handles it. HUP stays blocked
    until the process unblocks it.
    """
    parent = os.getpid()
    # Until the child sets handlers of its own, it has the supervisor's, which would note a signal
    # in the child's copy of memory, where nobody looks. Blocked, the signal waits.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    # From here on this is the child. No exception may leave this function: it would unwind into
    # the supervisor's loop, and two processes would supervise.
    status = os.EX_SOFTWARE
    try:
        _become_child_of(parent)
        log.after_fork()
        status = run()
    except Exception as error:
        log.service(f"{name} failed", error=described(error))
    finally:
        try:
            log.close()
        finally:
            # Not sys.exit(): Python's finalization would run the parent's exit handlers and flush
            # its buffers a second time, while libmilter's thread is still running.
            os._exit(status)


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


def _become_child_of(parent: int) -> None:
    # The wakeup descriptor is the supervisor's: a signal of this process would wake that one.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGHUP})
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that call
        os.kill(os.getpid(), signal.SIGTERM)
