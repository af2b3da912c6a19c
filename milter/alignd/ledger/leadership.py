"""Chooses the one relay of many that looks at DNS and tells of events: who holds a lock.

The lock is PostgreSQL's, and ends with the connection that holds it. In a file of its own, a relay
is always the one.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from alignd.ledger.database import LedgerError

_LOCK = 0x616C6764_6C656164  # "algdlead", of pg_try_advisory_lock


class Leadership:
    """A claim to be the one; for one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def is_held(self) -> bool:
        """Whether this relay is the one now; it asks for it if it is not.

        Raises:
            LedgerError: the database cannot be asked, so it is not.
        """
        if self._engine.dialect.name != "postgresql":
            return True
        try:
            return self._asked()
        except LedgerError:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Let another relay be the one."""
        if self._connection is not None:
            self._connection.invalidate()  # closes it, whatever state it is in
            self._connection.close()
            self._connection = None

    def _asked(self) -> bool:
        if self._connection is not None:
            self._connection.execute(text("SELECT 1"))
            return True
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        question = text("SELECT pg_try_advisory_lock(:key)")
        if connection.execute(question, {"key": _LOCK}).scalar_one():
            self._connection = connection
            return True
        connection.close()
        return False
