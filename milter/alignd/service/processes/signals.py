"""The signals of the supervisor: held until it can take them, and then taken one by one."""

from __future__ import annotations

import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""Those that the supervisor takes, and its children do not take over from it."""


class PendingSignals:
    """Signals that arrived and were not yet taken; all that a handler does is to add one.

    A handler interrupts the main thread anywhere, so it must neither act nor take a lock.
    """

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        # Python restarts an interrupted poll(). Each signal also writes to this pipe, so that
        # poll() returns and the supervisor acts at once, not at the end of its round.
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def watch(self) -> None:
        """Take signals from now on, and a HUP that came before."""
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda found, _frame: self._numbers.add(found))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def take(self, *numbers: int) -> bool:
        """Whether one of these has arrived; it is forgotten then."""
        found = self._numbers & set(numbers)
        self._numbers -= found
        return bool(found)

    @property
    def wakeup(self) -> int:
        """The descriptor that can be read once a signal has arrived."""
        return self._wakeup[0]

    def wake(self) -> None:
        """Make `wakeup` readable, from any thread."""
        try:
            os.write(self._wakeup[1], b"\0")
        except BlockingIOError:
            return  # it is full, and so readable

    def clear_wakeup(self) -> None:
        try:
            os.read(self._wakeup[0], 4096)
        except BlockingIOError:
            return  # nothing was in it

    def close(self) -> None:
        """Close the descriptors in a child, which has signals of its own."""
        for descriptor in self._wakeup:
            os.close(descriptor)
