"""Reads a part of the ledger anew every few seconds, while somebody looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from alignd.ledger.batch import DAY
from alignd.ledger.queries.overview import Selection
from alignd.ledger.window.protocol import Obstacle, WindowError
from alignd.ledger.window.reader import LedgerReader
from alignd.web.heard import SPANS, Heard
from alignd.web.listing import Snapshot

EVERY_SECONDS = 10.0
"""From the end of one reading to the next, while somebody looks, at least; and at least:"""
TIMES = 20.0
"""As many times as the reading took: where mail leaves the ledger little, or there are many
domains, it is read more seldom; but not more seldom than:"""
SELDOM_SECONDS = 45.0
RETRY_SECONDS = 2.0
"""The same after one that failed."""
LOOKED_SECONDS = 300.0
"""So long after it was asked for, somebody looks. A list of 10,000 domains takes the ledger a
second of a processor: nobody should pay that all night."""
WAIT_SECONDS = 15.0
"""For the first reading."""
RECENT_SECONDS = 60.0
"""What is not older is shown at once, whatever is being read."""
STALE_SECONDS = 3.0
"""To wait for a new one where there is an older one to show instead, and nobody looked before."""
KEPT_SECONDS = 900.0
"""What is older is not shown any more: it would be taken for the state of things."""


class Aging(Protocol):
    """What the ledger said at one moment."""

    def age(self, now: float) -> float:
        """The seconds since then, at the Unix time *now*."""
        raise NotImplementedError


T = TypeVar("T", bound=Aging)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why the ledger could not be read."""

    obstacle: Obstacle
    problem: str
    """In the operator's words."""


@dataclass(frozen=True, slots=True)
class Latest(Generic[T]):
    """What is known: the newest snapshot, and whether a newer one failed."""

    snapshot: T | None
    trouble: Unreadable | None = None


def overview_of(ledger: LedgerReader) -> Callable[[float], Snapshot]:
    """What reads the list of all author domains, at a Unix time."""
    return lambda now: Snapshot(ledger.overview(Selection(), now), now)


def heard_of(ledger: LedgerReader, *, is_dry: bool) -> Callable[[float], Heard]:
    """What reads what receivers said, at a Unix time; *is_dry* as `join` has it."""

    def read(now: float) -> Heard:
        *spans, last = SPANS
        for days in spans:
            try:
                return _heard(ledger, days, now, is_dry=is_dry)
            except WindowError as error:
                if error.obstacle is not Obstacle.TOO_LARGE:
                    raise
        return _heard(ledger, last, now, is_dry=is_dry)

    return read


def _heard(ledger: LedgerReader, days: int, now: float, *, is_dry: bool) -> Heard:
    receivers = ledger.receivers(None, None, now - days * DAY, now)
    return Heard.of(receivers, days, now, is_dry=is_dry)


class Snapshots(Generic[T]):
    """The newest snapshot of a ledger, for any thread; `run` takes them in one of its own."""

    def __init__(
        self,
        read: Callable[[float], T],
        changed: Callable[[Unreadable | None], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*read* asks the ledger at a Unix time, and raises WindowError where it cannot.

        *changed* is told when the ledger cannot be read any more, and of None when it can.
        """
        self._read = read
        self._tell = changed
        self._clock = clock
        self._monotonic = monotonic
        self._changed = threading.Condition()
        """Of all that follows."""
        self._latest: Latest[T] = Latest(None, Unreadable(Obstacle.SLOW, "it was not read yet"))
        self._read_at: float | None = None
        """When the last reading ended, well or not; monotonic."""
        self._took = 0.0
        """Seconds, for the last reading."""
        self._asked_at: float | None = None
        self._ended = False

    def latest(self, at_most: float = WAIT_SECONDS) -> Latest[T]:
        """The newest snapshot; while somebody looks, it is not much older than EVERY_SECONDS.

        Nobody waits for it longer than *at_most* seconds.
        """
        with self._changed:
            now = self._monotonic()
            patience = min(at_most, self._patience(is_watched=self._is_watched(now)))
            self._asked_at = now
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ended or self._is_fresh(now), timeout=patience)
            return self._shown()

    def take(self) -> None:
        """Read the ledger, and keep what it says."""
        began = self._monotonic()
        try:
            latest = Latest(self._read(self._clock()))
        except WindowError as error:
            latest = Latest(self._latest.snapshot, Unreadable(error.obstacle, str(error)))
        except Exception as error:  # else nobody would read any more, and all would wait
            trouble = Unreadable(Obstacle.FAILED, f"a bug: {type(error).__name__}: {error}")
            latest = Latest(self._latest.snapshot, trouble)
        with self._changed:
            had_trouble = self._read_at is not None and self._latest.trouble is not None
            self._latest = latest
            self._read_at = self._monotonic()
            self._took = self._read_at - began
            self._changed.notify_all()
        if had_trouble != (latest.trouble is not None):
            self._tell(latest.trouble)

    def run(self) -> None:
        """Take snapshots until `end`."""
        while self._await_turn():
            self.take()

    def end(self) -> None:
        """Have `run` return, and whoever waits go on."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _await_turn(self) -> bool:
        """Wait until it is time to read; the result is False if it is time to end."""
        with self._changed:
            while not self._ended:
                now = self._monotonic()
                if self._is_watched(now) and not self._is_fresh(now):
                    return True
                self._changed.wait(self._seconds_left(now))
            return False

    def _patience(self, *, is_watched: bool) -> float:
        """For how long whoever asks waits for the next reading."""
        snapshot = self._shown().snapshot
        if snapshot is None:
            return WAIT_SECONDS
        # Somebody has looked, and yet it is old: the ledger is slow or away, and each who waited
        # would hold up the others, on one of a few threads.
        is_shown = is_watched or snapshot.age(self._clock()) <= RECENT_SECONDS
        return 0.0 if is_shown else STALE_SECONDS

    def _seconds_left(self, now: float) -> float | None:
        """Until the next reading; None where nobody looks."""
        if not self._is_watched(now) or self._read_at is None:
            return None
        return max(0.0, self._read_at + self._period - now)

    def _is_watched(self, now: float) -> bool:
        return self._asked_at is not None and now - self._asked_at < LOOKED_SECONDS

    def _is_fresh(self, now: float) -> bool:
        return self._read_at is not None and now - self._read_at < self._period

    @property
    def _period(self) -> float:
        if self._latest.trouble:
            return RETRY_SECONDS
        return min(max(EVERY_SECONDS, TIMES * self._took), SELDOM_SECONDS)

    def _shown(self) -> Latest[T]:
        found = self._latest
        if found.snapshot and found.snapshot.age(self._clock()) > KEPT_SECONDS:
            return Latest(None, found.trouble or Unreadable(Obstacle.SLOW, "it is not read"))
        return found
