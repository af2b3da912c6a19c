"""Sends the batches of a relay to the database that relays share, in order and each once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Connection, Engine

from alignd.config.settings import Keep
from alignd.ledger import outbox
from alignd.ledger.apply import apply_batch, note_relay
from alignd.ledger.batch import Batch
from alignd.ledger.database import LedgerError, insert, problem_of
from alignd.ledger.migration import SchemaError, migrate
from alignd.ledger.tables import SHIPMENTS
from alignd.ledger.thinning import thin_out
from alignd.ledger.writer import Writer

ALIVE_SECONDS = 60.0
"""How often a relay says that it is alive, mail or none."""
THIN_SECONDS = 3600.0
_ROUND_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds


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
        self.problem = ""
        """Why batches wait; empty when they do not."""

    def run(self, ended: threading.Event) -> None:
        """Send until the end."""
        pause = _FIRST_PAUSE
        while not ended.is_set():
            try:
                self._work(ended)
            except (LedgerError, SchemaError) as error:
                self.problem = problem_of(error)
                ended.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self.problem, pause = "", _FIRST_PAUSE
                ended.wait(_ROUND_SECONDS)

    def ship_next(self) -> bool:
        """Send the oldest batch; False if none waits.

        Raises:
            LedgerError: it waits on. Perhaps it has arrived, which its number tells next time.
        """
        with self._local.begin() as connection:
            name = outbox.spool_id(connection)
            first = outbox.begin_sending(connection)
        if first is None:
            return False
        number, batch = first
        with self._shared.begin() as connection:
            events = self._added(connection, name, number, batch)
        with self._local.begin() as connection:
            outbox.acknowledge(connection, number)
        for kind in events:
            self._on_event(kind)
        return True

    def _work(self, ended: threading.Event) -> None:
        if not self._has_schema:
            migrate(self._shared)
            self._has_schema = True
        while not ended.is_set() and self.ship_next():
            self.problem = ""
        now = self._now()
        if now - self._alive_at >= ALIVE_SECONDS:
            with self._shared.begin() as connection:
                note_relay(connection, self._writer, now)
            self._alive_at = now
        if now - self._thin_at >= THIN_SECONDS:
            self._thin_at = now
            thin_out(self._shared, self._keep, now)

    def _added(self, connection: Connection, name: str, number: int, batch: Batch) -> list[str]:
        statement = insert(connection, SHIPMENTS).values(spool=name, number=number)
        statement = statement.on_conflict_do_update(
            index_elements=["spool"],
            set_={"number": statement.excluded.number},
            where=SHIPMENTS.c.number < statement.excluded.number,
        )
        # Not its rowcount, which SQLAlchemy 2.1 does not tell of an INSERT.
        is_new = connection.execute(statement.returning(SHIPMENTS.c.number)).first() is not None
        return apply_batch(connection, batch, self._writer, self._now()) if is_new else []
