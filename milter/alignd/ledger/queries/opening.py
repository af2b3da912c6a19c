"""Opens a ledger for those who ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from alignd.ledger.database import open_for_reading
from alignd.ledger.migration import require_schema

OpenLedger = Connection
"""What the questions of this package are asked; for those who do not know SQLAlchemy."""


@contextmanager
def open_ledger(url: str) -> Iterator[OpenLedger]:
    """A connection to the ledger at *url*, of which all that it reads is of one moment.

    Raises, as every use of the connection does:
        LedgerError: the database cannot be used.
        SchemaError: its schema is not this alignd's.
    """
    with open_for_reading(url).connect() as connection:
        require_schema(connection)
        yield connection
