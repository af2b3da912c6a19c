"""The log: a line for each message, which begins with its queue id, and lines on the service."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from structlog.processors import LogfmtRenderer

from alignd.telemetry.log_stream import LineStream, open_line_stream

HOUR = 3600.0  # seconds
_MINUTE = 60.0
_TELL_SECONDS = 1.0  # at least, between two lines on lines that were dropped
_PACKAGE = Path(__file__).parents[1]  # alignd


class MessageLog:
    """Writes log lines to a stream, which systemd copies to its journal; safe for threads.

    No mail waits for its reader: a line that is not taken within milliseconds is dropped, counted,
    and told of when lines are taken again.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """*stream* may be None or closed, as standard error may be: all lines are dropped then."""
        self._stream = _line_stream(stream)
        self._lock = threading.Lock()  # also of _stream
        self._count: Callable[[], None] | None = None
        self._uncounted = 0  # lines dropped before _count was known
        self._untold = 0  # lines dropped since the last line that told of some
        self._next_told = 0.0  # monotonic time
        # When each text was written last, for is_due; the texts are a few constants.
        self._written: dict[str, float] = {}
        # It quotes and escapes, so that no sender can forge a line or a field.
        self._render = LogfmtRenderer(bool_as_flag=False)

    def count_dropped(self, count: Callable[[], None]) -> None:
        """Call *count* for each line that is dropped, those so far included."""
        with self._lock:
            self._count, uncounted, self._uncounted = count, self._uncounted, 0
        for _ in range(uncounted):
            count()

    def after_fork(self) -> None:
        """Begin anew in a child, where threads may write: see LineStream."""
        self._untold = 0
        if self._stream is not None:
            self._stream.after_fork(self._note_dropped)

    def close(self) -> None:
        """Write what is still to be written, within a second; lines after that are dropped."""
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def rendered(self, **fields: str | int | float) -> str:
        """The fields as a line has them: `key=value ...`, quoted where necessary."""
        return self._render(None, "", dict(fields))

    def message(self, queue_id: str, **fields: str | int | float) -> None:
        """Write the line of one message: `QUEUEID: key=value ...`."""
        self.about(queue_id, self.rendered(**fields))

    def about(self, queue_id: str, rendered: str) -> None:
        """Write the line of one message whose fields are *rendered* already."""
        self._write(f"{queue_id or 'NOQUEUE'}: {rendered}")

    def service(self, text: str, **fields: str | int | float) -> None:
        """Write a line about the service."""
        self._write(self._service_line(text, **fields))

    def once_a_minute(self, text: str, **fields: str | int | float) -> None:
        """Write a line about the service, unless *text* was written less than a minute ago."""
        if self.is_due(text, _MINUTE):
            self.service(text, **fields)

    def is_due(self, text: str, seconds: float) -> bool:
        """Whether this was not asked of *text*, or not answered so, within the last *seconds*."""
        now = time.monotonic()
        if now - self._written.get(text, -seconds) < seconds:
            return False
        self._written[text] = now
        return True

    def _service_line(self, text: str, **fields: str | int | float) -> str:
        return f"{text} {self.rendered(**fields)}".rstrip()

    def _write(self, line: str) -> None:
        # A line goes out as a whole: the workers share the stream, and lines would run together.
        data = f"{_escaped(line)}\n".encode()
        with self._lock:
            told = self._told_of() if self._untold else b""
            is_taken = self._stream is not None and self._stream.write(told + data)
            if told and is_taken:
                self._untold, self._next_told = 0, time.monotonic() + _TELL_SECONDS
        if not is_taken:
            self._note_dropped()

    def _told_of(self) -> bytes:
        """The line on lines that were dropped, if it is time for it.

        It goes out together with the next one: alone it may fit into a pipe that is as good as
        full. And a reader that is always a little too slow must not read of this only.
        """
        if self._stream is None or self._stream.is_failing or time.monotonic() < self._next_told:
            return b""
        text = self._service_line(
            "log lines were dropped: they could not be written in time", lines=self._untold
        )
        return f"{text}\n".encode()

    def _note_dropped(self) -> None:
        # There is nowhere to complain, and it must not stop mail.
        with self._lock:
            self._untold += 1
            count = self._count
            self._uncounted += count is None
        if count is not None:
            count()


def _line_stream(stream: TextIO | None) -> LineStream | None:
    if stream is None or stream.closed:
        return None
    descriptor = stream.fileno()
    try:
        return open_line_stream(descriptor)
    except OSError:  # closed, behind the back of *stream*
        return None


def _escaped(line: str) -> str:
    """*line* with escapes for what could begin another one, or control the terminal of a reader.

    The renderer does so for line feeds only, and a sender may put others into MAIL FROM.
    """
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def described(error: Exception) -> str:
    """The class of *error* and where it was raised, such as `KeyError at mta/session.py:204`.

    Its text is left out: it may quote mail.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename)
    is_own = path.is_relative_to(_PACKAGE)
    path = path.relative_to(_PACKAGE) if is_own else Path(*path.parts[-2:])
    return f"{type(error).__name__} at {path}:{frame.lineno}"
