"""Sends the batches of a relay to the database that relays share, in order and each once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from alignd.config.settings import Keep
from alignd.ledger import thinning
from alignd.ledger.apply import apply_batch, note_relay
from alignd.ledger.batch import Batch
from alignd.ledger.database import LedgerError, problem_of
from alignd.ledger.fleet import outbox, shipments
from alignd.ledger.migration import SchemaError, migrate
from alignd.ledger.pause import Pause
from alignd.ledger.writer import Writer

ALIVE_SECONDS = 60.0
"""How often a relay says that it is alive, mail or none."""
THIN_SECONDS = 3600.0
_ROUND_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds
_THIN_STEPS = 5  # of a round, so that counts never wait for long
_STALL_SECONDS = 15.0
"""A database that has not ended a transaction for so long does not respond."""


class Shipper:
    """Sends what waits in the outbox, for as long as the service runs."""

    def __init__(
        self,
        local: Engine,
        shared: Engine,
        writer: Writer,
        keep: Keep,
        now: Callable[[], float],
        on_event: Callable[[str], None],
    ) -> None:
        """*on_event* is called with the kind of each event that comes of a batch."""
        self._local = local
        self._shared = shared
        self._writer = writer
        self._keep = keep
        self._now = now
        self._on_event = on_event
        self._has_schema = False
        self._alive_at = self._thin_at = 0.0
        self._thinning: Iterator[int] = iter(())
        self._problem = ""
        self._step_began: float | None = None
        """The monotonic time at which it began to wait for a database."""
        self.unreadable: list[outbox.UnreadableBatchError] = []
        """The batches that could not be sent, until they are taken away."""

    @property
    def problem(self) -> str:
        """Why batches wait; empty when they do not."""
        began = self._step_began
        if began is not None and time.monotonic() - began > _STALL_SECONDS:
            return self._problem or "the database does not respond"
        return self._problem

    def run(self, ended: threading.Event) -> None:
        """Send until the end."""
        pause = Pause(_FIRST_PAUSE, _LONGEST_PAUSE)
        while not ended.is_set():
            try:
                self._work(ended)
            except (LedgerError, SchemaError) as error:
                # Somebody may have put an empty database in the place of the one before.
                self._has_schema &= not isinstance(error, ProgrammingError)
                if not self._problem:  # something was sent since the last failure
                    pause.end()
                self._problem = problem_of(error)
                ended.wait(pause.after_failure())
            else:
                self._problem = ""
                ended.wait(_ROUND_SECONDS)
            finally:
                self._step_began = None

    def ship_next(self) -> bool:
        """Send the oldest batch; False if none waits.

        Raises:
            LedgerError: it waits on. Perhaps it has arrived, which its number tells next time.
        """
        try:
            with self._local.begin() as connection:
                name = outbox.spool_id(connection)
                first = outbox.begin_sending(connection)
        except outbox.UnreadableBatchError as error:
            self._forget(error.number)
            self.unreadable.append(error)
            return True
        if first is None:
            return False
        number, batch = first
        with self._shared.begin() as connection:
            events = self._added(connection, name, number, batch)
        self._forget(number)
        for kind in events:
            self._on_event(kind)
        return True

    def _work(self, ended: threading.Event) -> None:
        self._step_began = time.monotonic()
        if not self._has_schema:
            migrate(self._shared)
            self._has_schema = True
        while not ended.is_set() and self.ship_next():
            self._problem = ""
            self._step_began = time.monotonic()
            self._say_alive()
        self._say_alive()
        self._thin_out()

    def _say_alive(self) -> None:
        now = self._now()
        if _is_due(self._alive_at, now, ALIVE_SECONDS):
            with self._shared.begin() as connection:
                note_relay(connection, self._writer, now)
            self._alive_at = now

    def _thin_out(self) -> None:
        now = self._now()
        if _is_due(self._thin_at, now, THIN_SECONDS):
            self._thin_at = now
            self._thinning = thinning.steps(self._shared, self._keep, now)
        for _ in islice(self._thinning, _THIN_STEPS):
            self._step_began = time.monotonic()

    def _forget(self, number: int) -> None:
        with self._local.begin() as connection:
            outbox.acknowledge(connection, number)

    def _added(self, connection: Connection, name: str, number: int, batch: Batch) -> list[str]:
        if not shipments.is_new(connection, name, number):
            return []
        return apply_batch(connection, batch, self._writer, self._now())


def _is_due(last: float, now: float, seconds: float) -> bool:
    """Whether *seconds* have passed since *last*, or the clock was set back."""
    return not 0 <= now - last < seconds
