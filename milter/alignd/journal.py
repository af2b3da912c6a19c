"""The log: one line a message, queue id first, and lines about the service itself."""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from functools import lru_cache
from typing import TextIO

from structlog import WriteLogger
from structlog.processors import LogfmtRenderer

_MINUTE = 60.0  # seconds
_RENDERED = 1000  # sets of fields that are rendered once


class Journal:
    """Writes log lines to a stream, which systemd takes into its journal; safe for threads."""

    def __init__(self, stream: TextIO) -> None:
        # Each line in one write: the workers share the stream, and lines would run together.
        self._logger = WriteLogger(stream)
        self._written: dict[str, float] = {}  # by text, of which there are a few
        # Quotes what a sender could otherwise use to forge a line.
        renderer = LogfmtRenderer(bool_as_flag=False)
        self._render = lru_cache(_RENDERED)(lambda *fields: renderer(None, "", dict(fields)))

    def message(self, queue_id: str, **fields: str | int | float) -> None:
        """Write the line of one message: `QUEUEID: key=value ...`, domains but no addresses."""
        # Much the same for all mail of an author, but for this.
        elapsed = f" ms={fields.pop('ms')}" if "ms" in fields else ""
        self._write(f"{queue_id or 'NOQUEUE'}: {self._render(*fields.items())}{elapsed}")

    def service(self, text: str, **fields: str | int | float) -> None:
        """Write a line about the service."""
        rendered = self._render(*fields.items())
        self._write(f"{text} {rendered}".rstrip())

    def once_a_minute(self, text: str, **fields: str | int | float) -> None:
        """Write a line about the service, unless the same *text* was written a minute ago."""
        now = time.monotonic()
        if now - self._written.get(text, -_MINUTE) >= _MINUTE:
            self._written[text] = now
            self.service(text, **fields)

    def _write(self, line: str) -> None:
        # A full disk or a closed pipe leaves no place to complain at, and must not stop mail.
        with suppress(OSError):
            self._logger.msg(line)


def described(error: Exception) -> str:
    """What failed and where; never the error's text, which may quote mail."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {place.filename.rpartition('/')[2]}:{place.lineno}"
