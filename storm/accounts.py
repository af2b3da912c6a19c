"""The accounts of a storm: every message that was taken has to arrive once, as promised."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from storm.mail import EXPECTED, Kind, Left, Post
from tests.lab.sink import Arrival


class StalledError(Exception):
    """Nothing has moved for too long; the text says what was waited for."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How the accounts stand."""

    accepted: int
    refused: int
    lost: int
    duplicated: int
    unrewritten: int
    half_changed: int
    overcautious: int
    """Rewritten though they would have passed: safe, and right only while DNS is down."""

    @property
    def is_even(self) -> bool:
        """Whether nothing was lost and nothing has escaped."""
        return not (self.lost or self.duplicated or self.unrewritten or self.half_changed)


class Accounts:
    """The accounts of one run; *expected* is how each kind has to leave. Safe for threads."""

    def __init__(self, post: Post, expected: Mapping[Kind, Left] = EXPECTED) -> None:
        self.post = post
        self._expected = expected
        self._changed = threading.Condition()
        self._accepted: set[int] = set()
        self._refused: set[int] = set()
        self._arrivals: Counter[int] = Counter()
        self._left: dict[int, Left] = {}

    def accept(self, number: int) -> None:
        """The relay has taken the message: it is answerable for it now."""
        with self._changed:
            self._accepted.add(number)
            self._changed.notify_all()

    def refuse(self, number: int) -> None:
        """The relay has not taken it."""
        with self._changed:
            self._refused.add(number)
            self._changed.notify_all()

    def arrive(self, arrival: Arrival) -> None:
        """A message has come out at the far end."""
        number = self.post.number_of(arrival.message)
        if number is None:
            return
        left = self.post.judge(number, arrival.envelope_sender, arrival.message)
        with self._changed:
            self._arrivals[number] += 1
            # A second copy may not make up for the first.
            if self._left.get(number) in (None, self._expected[self.post.kind(number)]):
                self._left[number] = left
            self._changed.notify_all()

    @property
    def arrived(self) -> int:
        """How many messages have arrived, each counted once."""
        return len(self._arrivals)

    @property
    def done(self) -> int:
        """How many have arrived, or were refused."""
        return len(self._arrivals) + len(self._refused)

    @property
    def on_their_way(self) -> int:
        """How many have been taken and have not arrived."""
        return len(self._accepted) - len(self._arrivals)

    def wait_for_room(self, most: int, patience: float = 120) -> None:
        """Wait until no more than *most* messages are on their way."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.on_their_way <= most, patience):
                raise StalledError(f"{self.on_their_way} messages on their way: {patience:g} s")

    def wait_for(self, count: int, patience: float = 120) -> None:
        """Wait until *count* messages have arrived or were refused, as long as some are."""
        with self._changed:
            while (seen := self.done) < count:
                if not self._changed.wait_for(lambda: self.done != seen, patience):
                    raise StalledError(f"nothing moved for {patience:g} s, {seen} are done")

    @property
    def accepted(self) -> int:
        """How many messages the relay has taken."""
        return len(self._accepted)

    def settle(self, patience: float) -> Balance:
        """Wait until nothing is on its way, or nothing moves any more, and add up."""
        deadline, seen = time.monotonic() + patience, self.arrived
        with self._changed:
            while self.on_their_way > 0 and time.monotonic() < deadline:
                self._changed.wait(1)
                if self.arrived != seen:
                    deadline, seen = time.monotonic() + patience, self.arrived
        return self._balance()

    def _balance(self) -> Balance:
        wrong = Counter[Left]()
        for number, left in self._left.items():
            if left is not self._expected[self.post.kind(number)]:
                wrong[left] += 1
        return Balance(
            accepted=len(self._accepted),
            refused=len(self._refused),
            lost=len(self._accepted - self._arrivals.keys()),
            duplicated=sum(count > 1 for count in self._arrivals.values()),
            unrewritten=wrong[Left.UNTOUCHED] + wrong[Left.ENVELOPE],
            half_changed=wrong[Left.HALF_CHANGED],
            overcautious=wrong[Left.REWRITTEN],
        )
