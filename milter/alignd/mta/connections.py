"""Cuts connections that say nothing, or half a packet, so that there is room for others.

libmilter accepts every connection, and waits for each as long as for one that sends mail; it has
no hook before the negotiation. So a thread looks at the descriptors of the process, and shuts down
what it should not wait for: libmilter reads the end of the connection, and closes it.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fcntl import ioctl
from termios import FIONREAD
from typing import Any

from alignd.mta.libmilter import Sessions
from alignd.mta.negotiated import DescriptorReader
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import Task

NEGOTIATION_SECONDS = 5.0
"""How long a connection may take to negotiate. Postfix does so at once, as soon as it is
connected."""
MOMENT = 0.2
"""How long it may take where room is short: seconds."""
SPARE_DESCRIPTORS = 20
"""With fewer that are free, room is short."""
_SELDOM, _OFTEN = 0.25, 0.05
"""Seconds from one look to the next, the shorter one while a connection has not negotiated."""
_MOST_BETWEEN = 1.0
"""Seconds between two looks that count. In more than these the whole process stood still, and
libmilter has read nothing either."""
_REST_SELDOM, _REST_OFTEN = 100, 20
"""How many times as long as a look took (processor time) it is at least to the next. With 2,000
sessions a look takes some 2 ms, else a fifth of one."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The socket that connections are accepted from."""

    family: socket.AddressFamily
    address: Any

    def accepted(self, descriptor: int) -> bool:
        """Whether *descriptor* is a connection that was accepted from this socket."""
        try:
            # The object does not own the descriptor. With a copy of it no other would be needed,
            # but when there are none left there is no copy.
            found = socket.socket(self.family, socket.SOCK_STREAM, 0, descriptor)
        except OSError:
            return False
        try:
            return (
                found.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
                and not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                and self._has_our_address(found.getsockname())
            )
        except OSError:  # closed meanwhile, or no socket
            return False
        finally:
            found.detach()

    def _has_our_address(self, name: Any) -> bool:
        if self.family == socket.AF_UNIX:
            return bool(name == self.address)
        # Of a socket that listens on every address each connection has one of its own.
        return isinstance(name, tuple) and bool(name[1] == self.address[1])


@dataclass(slots=True)
class _Other:
    """A descriptor that belongs to no session."""

    inode: int
    """Numbers of descriptors are used again at once."""
    is_connection: bool
    age: float = 0.0
    """Seconds that it has been seen for."""
    is_cut: bool = False


class Connections:
    """The connections of this process, whether they have negotiated or not."""

    def __init__(
        self,
        listening: Listening,
        sessions: Sessions,
        reader: DescriptorReader,
        max_sessions: Callable[[], int],
        log: MessageLog,
        metrics: ProcessMetrics,
    ) -> None:
        """Begin before the first connection is accepted.

        Raises:
            OSError: no descriptor is left.
        """
        self._listening = listening
        self._sessions = sessions
        self._max_sessions = max_sessions
        self._log = log
        self._metrics = metrics
        self._reader = reader
        sessions.read_descriptors_with(reader.descriptor_of)
        self._others: dict[int, _Other] = {}
        self._cut = 0
        # What is cut takes the place of one of them, so that none need be free.
        self._placeholder = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._handle = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._last_look: float | None = None
        self._thread: threading.Thread | None = None

    def keep_watched(self) -> None:
        """Start the thread that looks, unless it runs."""
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._watch, name="connections", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread left: it is tried again
            self._log.once_a_minute("connections are not watched", problem="no thread is left")
        else:
            self._thread = thread

    def _watch(self) -> None:
        while True:
            before = time.thread_time()
            try:
                is_soon = self.look(time.monotonic())
            except Exception as error:  # it must go on
                self._log.once_a_minute("connections were not counted", problem=described(error))
                self._metrics.task_failed(Task.CONNECTIONS)
                is_soon = False
            took = time.thread_time() - before
            seldom, often = took * _REST_SELDOM, took * _REST_OFTEN
            rest = max(_OFTEN, often) if is_soon else max(_SELDOM, seldom)
            time.sleep(min(1.0, rest))

    def look(self, now: float) -> bool:
        """Count connections and cut some, *now* by a monotonic clock; whether to look soon."""
        passed = 0.0 if self._last_look is None else min(now - self._last_look, _MOST_BETWEEN)
        self._last_look = now
        numbers = _open_descriptors()
        # Asked after that: whatever has negotiated since is among the served.
        served = self._sessions.served
        others = {each: self._other(each, passed) for each in numbers if each not in served}
        self._others = {number: other for number, other in others.items() if other}
        waiting = {
            number: other
            for number, other in self._others.items()
            if other.is_connection and not other.is_cut
        }
        count = self._sessions.number_served() + len(waiting)
        self._metrics.set_connections(count)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = most - len(numbers)
        self._cut_some(waiting, max(count - self._max_sessions(), SPARE_DESCRIPTORS - free))
        return any(not each.is_cut for each in waiting.values())

    def _other(self, number: int, passed: float) -> _Other | None:
        try:
            status = os.fstat(number)
        except OSError:  # closed meanwhile
            return None
        known = self._others.get(number)
        if known is not None and known.inode == status.st_ino:
            known.age += passed
            return known
        is_connection = stat.S_ISSOCK(status.st_mode) and self._listening.accepted(number)
        return _Other(status.st_ino, is_connection)

    def _cut_some(self, waiting: dict[int, _Other], too_many: int) -> None:
        """Cut those that have had their time, and where there are *too_many* the oldest others."""
        if not waiting:
            return
        if self._reader.is_proven is False:
            self._log.once_a_minute(
                "connections that say nothing are not cut: this libmilter is unknown",
                open=len(waiting),
            )
            return
        before = self._cut
        for number, other in sorted(waiting.items(), key=lambda each: -each[1].age):
            has_had_its_time = other.age >= NEGOTIATION_SECONDS
            if not has_had_its_time and (too_many <= 0 or other.age < MOMENT):
                break
            # What has come and was not read yet is late by our fault.
            if not _has_unread(number) and self._cut_off(number, other):
                too_many -= 1
        if self._cut > before:
            self._log.once_a_minute(
                "connections that have not negotiated are cut",
                cut=self._cut - before,
                open=len(waiting) + self._sessions.number_served(),
            )

    def _cut_off(self, number: int, other: _Other) -> bool:
        """Shut a connection down, unless it has negotiated or ended meanwhile."""
        # Under this number nobody but this thread closes it and opens another.
        try:
            os.dup2(number, self._handle, inheritable=False)
        except OSError:
            return False
        try:
            if number in self._sessions.served:
                return False
            if os.fstat(self._handle).st_ino != other.inode:
                return False
            connection = socket.socket(self._listening.family, socket.SOCK_STREAM, 0, self._handle)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the peer was first
            finally:
                connection.detach()
        finally:
            os.dup2(self._placeholder, self._handle, inheritable=False)
        other.is_cut = True
        self._cut += 1
        self._metrics.connection_cut()
        return True


def _open_descriptors() -> Sequence[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        # All that this process may have are open.
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return range(most)


def _has_unread(descriptor: int) -> bool:
    size = struct.calcsize("i")
    try:
        return any(ioctl(descriptor, FIONREAD, bytes(size)))
    except OSError:  # closed meanwhile
        return False
