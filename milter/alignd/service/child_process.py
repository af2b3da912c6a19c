"""Processes that the supervisor forks: begun alike, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from alignd.telemetry.log import MessageLog

_PR_SET_PDEATHSIG = 1  # prctl(2)
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


def fork(name: str, run: Callable[[], int], log: MessageLog) -> int:
    """Start a process that does *run* and ends with its status; the process id.

    TERM ends it, and comes from the kernel when the supervisor dies, however it does. INT, which
    a terminal sends to all, is the supervisor's. HUP waits until the process unblocks it.
    """
    parent = os.getpid()
    # A signal between here and there would meet a handler that is the supervisor's, and be lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    # Whatever happens in the child must not unwind into the supervisor's code.
    status = os.EX_SOFTWARE
    try:
        _be_a_child_of(parent)
        status = run()
    except Exception as error:
        log.service(f"{name} failed", error=repr(error))
    finally:
        os._exit(status)  # libmilter's thread may still be there, and nothing ends it soon


def keep_to_a_core(number: int, log: MessageLog) -> None:
    """Have this process, the one with that *number*, run on one core.

    Its threads take turns at one interpreter lock. On several cores they wake each other for
    nothing, which leaves half to three quarters of the rate (measured).
    """
    cores = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    except OSError as error:  # a sandbox of the operator's own: slower, and it serves all the same
        log.service("worker cannot keep to one core", problem=str(error))


def _be_a_child_of(parent: int) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGHUP})
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was told
        os.kill(os.getpid(), signal.SIGTERM)
