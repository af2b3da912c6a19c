"""The log: a line for each message, which begins with its queue id, and lines on the service."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import TextIO

from structlog.processors import LogfmtRenderer

_MINUTE = 60.0  # seconds
_PACKAGE = Path(__file__).parents[1]  # alignd


class MessageLog:
    """Writes log lines to a stream, which systemd copies to its journal; safe for threads."""

    def __init__(self, stream: TextIO) -> None:
        self._descriptor = stream.fileno()
        # When each text was written last, for once_a_minute; the texts are a few constants.
        self._written: dict[str, float] = {}
        # It quotes and escapes, so that no sender can forge a line or a field.
        self._render = LogfmtRenderer(bool_as_flag=False)

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
        self._write(f"{text} {self.rendered(**fields)}".rstrip())

    def once_a_minute(self, text: str, **fields: str | int | float) -> None:
        """Write a line about the service, unless *text* was written less than a minute ago."""
        now = time.monotonic()
        if now - self._written.get(text, -_MINUTE) >= _MINUTE:
            self._written[text] = now
            self.service(text, **fields)

    def _write(self, line: str) -> None:
        # One write() for each line: the workers share the stream, and lines would run together.
        # A full disk or a closed pipe leaves nowhere to complain, and must not stop mail.
        try:
            os.write(self._descriptor, f"{_escaped(line)}\n".encode())
        except OSError:
            return


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
