"""Tells one target of events, each until it was taken or three days have passed.

An event may be told twice: when what came of it could not be written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Engine

from alignd.ledger.database import LedgerError
from alignd.ledger.notify import deliveries
from alignd.ledger.notify.deliveries import Choice, Delivery
from alignd.ledger.notify.target import NotTakenError, Target

TOLD, FAILED, GIVEN_UP = "told", "failed", "given-up"
"""What comes of an event; one that failed is told again."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 6 * 3600.0
"""Seconds from an attempt for one event to the next."""
_GROWTH = 3.0
_LONGEST_REST = 300.0  # seconds in which a target that fails is left alone
_IS_DOWN = 3  # failures in a row
_LOOK_SECONDS = 2.0  # how often there may be something new
_OTHER_TELLS_SECONDS = 15.0
_AT_ONCE = 20  # events that are read at once


class Teller:
    """Tells one target, in a thread of its own, so that one that is slow delays no other."""

    def __init__(
        self,
        target: Target,
        engine: Engine,
        choice: Choice,
        may_tell: Callable[[], bool],
        now: Callable[[], float],
        spread: Callable[[], float],
        on_result: Callable[[str, str, int], None],
    ) -> None:
        """*may_tell* says whether no other relay does; it may raise LedgerError.

        *spread* is a random factor around 1 for pauses. *on_result* is called with the name of the
        target, with TOLD, FAILED or GIVEN_UP, and with the number of events.
        """
        self._target = target
        self._engine = engine
        self._choice = choice
        self._may_tell = may_tell
        self._now = now
        self._spread = spread
        self._on_result = on_result
        self._failures = 0
        """Those in a row, whatever the event."""
        self.problem = ""
        """Why the target has not taken the last event; empty if it has."""
        self.waiting = 0
        """Events that wait to be told, by this relay."""

    @property
    def name(self) -> str:
        return self._target.name

    def run(self, ended: threading.Event) -> None:
        """Tell until the end."""
        while not ended.is_set():
            ended.wait(self.tell_next(ended))

    def tell_next(self, ended: threading.Event) -> float:
        """Tell what is due, some at most; in how many seconds to go on."""
        try:
            if not self._may_tell():
                self.waiting = 0
                return _OTHER_TELLS_SECONDS
            found = self._prepared()
            for each in found:
                if ended.is_set():
                    break
                if not self._has_told(each, ended):
                    return min(FIRST_PAUSE * _GROWTH ** min(self._failures - 1, 20), _LONGEST_REST)
        except LedgerError:  # whoever writes to it says so
            return _OTHER_TELLS_SECONDS
        return 0.0 if len(found) == _AT_ONCE else _LOOK_SECONDS

    def _prepared(self) -> list[Delivery]:
        name, now = self.name, self._now()
        with self._engine.begin() as connection:
            deliveries.queue(connection, name, self._choice, now)
            given_up = deliveries.give_up(connection, name, now)
            self.waiting = deliveries.waiting(connection, name)
            found = deliveries.due(connection, name, now, _AT_ONCE)
        if given_up:
            self._on_result(self.name, GIVEN_UP, given_up)
        return found

    def _has_told(self, delivery: Delivery, ended: threading.Event) -> bool:
        event = delivery.event.id
        try:
            self._target.tell(delivery.event, ended)
        except NotTakenError as error:
            if ended.is_set():  # it was cut short, which says nothing of the target
                return False
            self.problem = str(error)
            self._failures += 1
            self._on_result(self.name, FAILED, 1)
            with self._engine.begin() as connection:
                at = self._now() + pause_after(delivery.attempts + 1) * self._spread()
                deliveries.note_failed(connection, self.name, event, at, self.problem)
            return False
        self._on_result(self.name, TOLD, 1)
        was_down = self._failures >= _IS_DOWN
        self.problem, self._failures = "", 0
        self.waiting -= 1
        with self._engine.begin() as connection:
            now = self._now()
            deliveries.note_told(connection, self.name, event, now)
            if was_down:
                deliveries.hurry(connection, self.name, now)
        return True


def pause_after(attempts: int) -> float:
    """Seconds to the next attempt, after so many that failed."""
    return min(FIRST_PAUSE * _GROWTH ** min(attempts - 1, 20), LONGEST_PAUSE)
