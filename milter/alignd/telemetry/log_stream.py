"""Writes lines to a stream whose reader may hang: within milliseconds, or not at all.

No write may wait, and how that is done depends on what the stream is:

* A socket, such as the one that journald listens on: send(2) with MSG_DONTWAIT.
* A pipe or a terminal is opened anew under /proc/self/fd, without waiting. O_NONBLOCK on the
  stream itself would hit every program that shares it, such as the shell that started alignd.
* A pipe of another user cannot be opened anew (`docker run --user`, a logger that root started),
  and writing to a file may wait for its disk, whatever the flags: a thread writes to these, and
  lines wait for it in a queue with a limit.

Where no thread may run, in the supervisor, lines for the last kind are written at once: to a pipe
if it has room just then, to a file in any case. What that leaves open is rare: a supervisor that
writes a line while the disk stalls, or while a worker fills up the pipe at the same moment. A
write with RWF_NOWAIT would leave nothing, but takes pipes since Linux 6.5 only, and ext4 never.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue

PATIENCE_SECONDS = 0.005
"""How long a line waits for room in a pipe that is full for a moment."""
MAX_WAITING = 2**20
"""Octets of lines that wait for the thread that writes them."""
END_SECONDS = 1.0
"""How long the last lines may take when the process ends."""
_PIPE_BUF = select.PIPE_BUF  # octets that go into a pipe with room as a whole (POSIX)
_NOTHING = b""  # no line is empty


class LineStream:
    """A stream for whole lines. Not safe for threads: its caller has a lock."""

    def __init__(
        self, writer: _Writer, close: Callable[[], None], patient: _Writer | None = None
    ) -> None:
        """*patient*, where there is one, is for a thread: its writes may wait."""
        self._writer = writer
        self._close = close
        self._patient = patient
        self._thread: _WriterThread | None = None
        self.write: Callable[[bytes], bool] = writer.write
        """Write a line; whether it was taken. Else it is lost."""

    @property
    def is_failing(self) -> bool:
        """Whether lines that were taken have been lost just now."""
        return self._thread is not None and self._thread.is_failing

    def after_fork(self, line_lost: Callable[[], None]) -> None:
        """Begin anew in a child: what the parent has not finished is the parent's to finish.

        *line_lost* is called from another thread when a line could not be written after all.
        """
        self._writer.forget()
        if self._patient is not None:
            self.write = partial(self._write_first, self._patient, line_lost)

    def _write_first(self, patient: _Writer, line_lost: Callable[[], None], line: bytes) -> bool:
        # Not before: a worker is pinned to a core first, and only the threads after that with it.
        try:
            self._thread = _WriterThread(patient, line_lost)
            self.write = self._thread.write
        except RuntimeError:  # no thread left: it writes as the supervisor does
            self.write = self._writer.write
        return self.write(line)

    def close(self) -> None:
        """Finish, within a second."""
        if self._thread is None or self._thread.end():
            self._close()


def open_line_stream(descriptor: int) -> LineStream:
    """Write to the open file behind *descriptor*, which may be closed afterwards.

    Raises:
        OSError: it is closed.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        connection = socket.socket(fileno=os.dup(descriptor))
        send = partial(_send_at_once, connection)
        return LineStream(_Writer(connection.fileno(), send), connection.close)
    is_file = stat.S_ISREG(mode)
    if not is_file and (own := _opened_anew(descriptor)) is not None:
        return LineStream(_Writer(own, partial(os.write, own)), partial(os.close, own))
    own = os.dup(descriptor)
    patient = _Writer(own, partial(os.write, own))
    writer = patient if is_file else _Writer(own, partial(_write_if_ready, own))
    return LineStream(writer, partial(os.close, own), patient)


class _Writer:
    """Writes whole lines with calls that may write a part, or raise BlockingIOError."""

    def __init__(self, descriptor: int, write: Callable[[bytes], int]) -> None:
        self._descriptor = descriptor
        self._write = write
        self._rest = b""
        # A reader that hangs costs one wait, and not one for each line.
        self._is_patient = True

    def forget(self) -> None:
        self._rest = b""

    def write(self, line: bytes) -> bool:
        """Whether *line* was taken; if only a part was, its end is written before the next."""
        if self._rest or not self._is_patient:
            return self._write_on(self._rest + line, len(line))
        try:
            written = self._write(line)
        except BlockingIOError:
            written = 0
        except OSError:  # a reader that is gone, a full disk
            return False
        return written == len(line) or self._write_on(line[written:], len(line))

    def _write_on(self, left: bytes, size: int) -> bool:
        """Write what is *left*, with the line of *size* octets as its end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left:
            try:
                left = left[self._write(left) :]
            except BlockingIOError:
                if not self._wait_until(deadline):
                    break
            except OSError:
                break
        self._is_patient = self._is_patient or not left
        is_taken = len(left) < size
        self._rest = left if is_taken else left[: len(left) - size]
        return is_taken

    def _wait_until(self, deadline: float) -> bool:
        """Wait for room; whether it makes sense to try again."""
        seconds = deadline - time.monotonic()
        if not self._is_patient or seconds <= 0:
            self._is_patient = False
            return False
        _has_room(self._descriptor, seconds)
        return True


class _WriterThread:
    """A thread that writes lines, however long each takes."""

    def __init__(self, writer: _Writer, line_lost: Callable[[], None]) -> None:
        self.is_failing = False
        self._writer = writer
        self._line_lost = line_lost
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._waiting = 0  # octets, which only write() adds to
        self._written = 0  # octets, which only the thread adds to
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> bool:
        if self._waiting - self._written > MAX_WAITING:
            return False
        self._waiting += len(line)
        self._lines.put(line)
        return True

    def end(self) -> bool:
        """Write what waits; whether that was done within a second."""
        self._lines.put(None)
        self._thread.join(END_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        for lines in self._batches():
            data = b"".join(lines)
            self.is_failing = not self._writer.write(data)
            if self.is_failing:
                for _ in lines:
                    self._line_lost()
            self._written += len(data)

    def _batches(self) -> Iterator[list[bytes]]:
        """The lines as they come, those that wait already together.

        Each write waits for the interpreter lock, 5 ms where other threads have much to do.
        """
        line = self._lines.get()
        while line is not None:
            batch, room = [line], _PIPE_BUF - len(line)
            while (line := self._waiting_line()) and len(line) <= room:
                batch.append(line)
                room -= len(line)
            yield batch
            if line == _NOTHING:
                line = self._lines.get()

    def _waiting_line(self) -> bytes | None:
        return _NOTHING if self._lines.empty() else self._lines.get()


def _opened_anew(descriptor: int) -> int | None:
    """Another description of the same pipe or device, which never waits; None if it is refused."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # EACCES: of another user; ENOENT: no /proc; ENXIO: nobody reads it yet
        return None


def _send_at_once(connection: socket.socket, data: bytes) -> int:
    return connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _write_if_ready(descriptor: int, data: bytes) -> int:
    if not _has_room(descriptor, 0):
        raise BlockingIOError
    return os.write(descriptor, data[:_PIPE_BUF])


def _has_room(descriptor: int, seconds: float) -> bool:
    """Whether *descriptor* can be written to, after at most that long."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
