"""Logs when something begins to fail and when that ends, each once."""

from __future__ import annotations

import time

from alignd.telemetry.log import MessageLog


class Trouble:
    """One thing that may fail; for one thread."""

    def __init__(self, log: MessageLog, begins: str, ends: str, **fields: str) -> None:
        """The lines begin with the texts *begins* and *ends*, and have these *fields*."""
        self._log = log
        self._begins = begins
        self._ends = ends
        self._fields = fields
        self._since: float | None = None

    def look(self, problem: str) -> None:
        """Log if *problem*, which is empty while all is well, has come or gone."""
        now = time.monotonic()
        if problem and self._since is None:
            self._since = now
            self._log.service(self._begins, **self._fields, problem=problem)
        elif not problem and self._since is not None:
            seconds = round(now - self._since, 1)
            self._log.service(self._ends, **self._fields, seconds=seconds)
            self._since = None
