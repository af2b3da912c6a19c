"""Opens a ledger for those who ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from alignd.ledger.database import open_for_reading
from alignd.ledger.migration import require_schema

OpenLedger = Connection
"""What the questions of this package are asked; for those who do not know SQLAlchemy."""


class LedgerDatabase:
    """The ledger at one URL, for whoever asks often; from any thread.

    Its engine knows the statements that it has compiled, which is half of a question.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing."""
        self._url = url
        self._engine: Engine | None = None

    @contextmanager
    def connected(self) -> Iterator[OpenLedger]:
        """A connection of its own, of which all that it reads is of one moment.

        Raises, as every use of the connection does:
            LedgerError: the database cannot be used.
            SchemaError: its schema is not this alignd's.
        """
        if self._engine is None:
            self._engine = open_for_reading(self._url)
        with self._engine.connect() as connection:
            require_schema(connection)
            yield connection


@contextmanager
def open_ledger(url: str) -> Iterator[OpenLedger]:
    """A connection to the ledger at *url*; see `LedgerDatabase.connected`."""
    with LedgerDatabase(url).connected() as connection:
        yield connection
