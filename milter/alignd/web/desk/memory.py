"""Remembers what was found out about domains: a bounded number of them, for a bounded time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from alignd.mail.mailbox import Mailbox
from alignd.web.desk.examined import Checked, Examined


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose mail is examined: of an author, as a tenant sends it."""

    author: Mailbox
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a subject."""

    examined: Examined
    checked: Checked | None = None
    """The check that found it; None where none did."""


class Memory:
    """Forgets first what was not used for longest; safe for threads."""

    def __init__(self, size: int, seconds: float, clock: Callable[[], float]) -> None:
        """What is older than *seconds* of *clock*, which nobody sets, is no longer fresh."""
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[Subject, tuple[float, Known]] = OrderedDict()
        self._lock = threading.Lock()

    def fresh(self, subject: Subject) -> Known | None:
        """What is known of *subject* and not too old."""
        at, known = self._get(subject)
        return known if self._clock() - at <= self._seconds else None

    def last(self, subject: Subject) -> Known | None:
        """What was known of *subject* last, however old."""
        return self._get(subject)[1]

    def put(self, subject: Subject, known: Known) -> None:
        with self._lock:
            self._kept[subject] = (self._clock(), known)
            self._kept.move_to_end(subject)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def _get(self, subject: Subject) -> tuple[float, Known | None]:
        with self._lock:
            if subject not in self._kept:
                return 0.0, None
            self._kept.move_to_end(subject)
            return self._kept[subject]
