"""The log: one line a message, queue id first, and lines about the service itself."""

from __future__ import annotations

import os
import time
import traceback
from typing import TextIO

from structlog.processors import LogfmtRenderer

_MINUTE = 60.0  # seconds


class MessageLog:
    """Writes log lines to a stream, which systemd takes into its journal; safe for threads."""

    def __init__(self, stream: TextIO) -> None:
        self._descriptor = stream.fileno()
        self._written: dict[str, float] = {}  # by text, of which there are a few
        # Quotes what a sender could otherwise use to forge a line.
        self._render = LogfmtRenderer(bool_as_flag=False)

    def rendered(self, **fields: str | int | float) -> str:
        """The fields as they stand in a line: `key=value ...`, quoted where need be."""
        return self._render(None, "", dict(fields))

    def message(self, queue_id: str, **fields: str | int | float) -> None:
        """Write the line of one message: `QUEUEID: key=value ...`, domains but no addresses."""
        self.about(queue_id, self.rendered(**fields))

    def about(self, queue_id: str, rendered: str) -> None:
        """Write the line of one message, whose fields are *rendered* already."""
        self._write(f"{queue_id or 'NOQUEUE'}: {rendered}")

    def service(self, text: str, **fields: str | int | float) -> None:
        """Write a line about the service."""
        self._write(f"{text} {self.rendered(**fields)}".rstrip())

    def once_a_minute(self, text: str, **fields: str | int | float) -> None:
        """Write a line about the service, unless the same *text* was written a minute ago."""
        now = time.monotonic()
        if now - self._written.get(text, -_MINUTE) >= _MINUTE:
            self._written[text] = now
            self.service(text, **fields)

    def _write(self, line: str) -> None:
        # Each line in one write: the workers share the stream, and lines would run together.
        # A full disk or a closed pipe leaves no place to complain at, and must not stop mail.
        try:
            os.write(self._descriptor, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            return


def described(error: Exception) -> str:
    """What failed and where; never the error's text, which may quote mail."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {place.filename.rpartition('/')[2]}:{place.lineno}"
