"""The archived answers in memory: by age, within a bound, and which of them are not in the file.

The age of an answer that was heard in this process is counted by the monotonic clock, so that a
wall clock that is set makes none young or old. Of an answer that was read from the file only the
date is known: a date of the future counts as now, and it ages from the reading on as well.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

ARCHIVE_OCTETS = 64 * 2**20
"""Of the answers in memory, some 100,000 of ordinary domains; the file grows to no more."""
ROW_OCTETS = 400
"""That an answer takes besides its question and its response (measured: 370 to 402)."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The same moment by both clocks."""

    wall: float
    """Unix time."""
    monotonic: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.time(), time.monotonic())


class Row(NamedTuple):
    """An answer as the file has it."""

    question: str
    """Type and name, such as `TXT example.com`."""
    heard: float
    """Unix time."""
    response: bytes
    """The DNS message, in wire form."""

    @property
    def octets(self) -> int:
        return _octets_of(self.question, self.response)


# When it was heard (Unix time); since when it ages here (monotonic time); whether it was heard in
# this process; the response. A plain tuple of plain values, which the garbage collector stops to
# visit: with objects of classes a full collection takes half a second (measured).
_Kept = tuple[float, float, bool, bytes]


class ArchiveMemory:
    """The answers; safe for threads, none of which waits for anything but the others."""

    def __init__(self, keep_seconds: float, octets: int = ARCHIVE_OCTETS) -> None:
        """What is older than *keep_seconds* is not answered; the oldest make room for new ones."""
        self._keep_seconds = keep_seconds
        self._room = octets
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # the oldest first
        # Their values stay in `_kept`, so that what waits to be written is bounded with it.
        self._unwritten: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def has_unwritten(self) -> bool:
        return bool(self._unwritten)

    def put(self, question: str, response: bytes, heard: float, now: Moment) -> int:
        """Keep a response that was heard at the monotonic time *heard*.

        Returns:
            How many answers made room for it and were never written to the file.
        """
        since = min(heard, now.monotonic)
        octets = _octets_of(question, response)
        with self._lock:
            self._remove(question)
            lost = self._make_room(octets)
            self._kept[question] = (now.wall - (now.monotonic - since), since, True, response)
            self._room -= octets
            self._unwritten[question] = None
            return lost

    def get(self, question: str, now: Moment) -> bytes | None:
        """The last response to *question*, unless it is too old."""
        with self._lock:
            kept = self._kept.get(question)
        return None if kept is None or self._is_old(kept, now) else kept[3]

    def begin_reading(self) -> None:
        """Take all answers for not in the file, until they are found there."""
        with self._lock:
            self._unwritten = OrderedDict.fromkeys(self._kept)

    def add_read(self, rows: Iterable[Row], now: Moment) -> bool:
        """Keep what was read from the file, which has the newest first.

        Returns:
            Whether there was room: else what follows has none either.
        """
        with self._lock:
            return all(self._add_read(row, now) for row in rows)

    def take_unwritten(self, octets: int) -> list[Row]:
        """The answers that have waited longest to be written, up to that many octets."""
        rows: list[Row] = []
        with self._lock:
            while self._unwritten and octets > 0:
                question, _ = self._unwritten.popitem(last=False)
                heard, _, _, response = self._kept[question]
                rows.append(row := Row(question, heard, response))
                octets -= row.octets
        return rows

    def forget_old(self, now: Moment) -> None:
        """Forget what is too old to be answered."""
        with self._lock:
            while self._kept:
                question, kept = next(iter(self._kept.items()))
                if not self._is_old(kept, now):
                    return
                self._remove(question)

    def _is_old(self, kept: _Kept, now: Moment) -> bool:
        heard, since, is_own, _ = kept
        age = now.monotonic - since
        return (age if is_own else max(age, now.wall - heard)) > self._keep_seconds

    def _add_read(self, row: Row, now: Moment) -> bool:
        known = self._kept.get(row.question)
        if known is not None:
            if known[0] == row.heard:
                self._unwritten.pop(row.question, None)
            return True
        if row.octets > self._room:
            return False
        self._kept[row.question] = (row.heard, now.monotonic, False, row.response)
        self._kept.move_to_end(row.question, last=False)
        self._room -= row.octets
        return True

    def _make_room(self, octets: int) -> int:
        lost = 0
        while self._kept and self._room < octets:
            lost += self._remove(next(iter(self._kept)))
        return lost

    def _remove(self, question: str) -> bool:
        """Forget an answer; whether it was not in the file yet."""
        kept = self._kept.pop(question, None)
        if kept is None:
            return False
        self._room += _octets_of(question, kept[3])
        is_unwritten = question in self._unwritten
        self._unwritten.pop(question, None)
        return is_unwritten


def _octets_of(question: str, response: bytes) -> int:
    return ROW_OCTETS + len(question) + len(response)
