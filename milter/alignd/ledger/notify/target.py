"""Who is told of events, whatever way."""

from __future__ import annotations

import threading
from typing import Protocol

from alignd.ledger.event import Event


class NotTakenError(Exception):
    """An event was not taken, and is told again: the text says why, in a line."""


class Target(Protocol):
    """Somebody who is told, by one thread."""

    @property
    def name(self) -> str:
        """Which one it is, in the ledger and in the log: `webhook`, `command`."""

    def tell(self, event: Event, ended: threading.Event) -> None:
        """Tell it; when *ended* is set, it may be given up at once.

        Raises:
            NotTakenError: it was not taken.
        """
