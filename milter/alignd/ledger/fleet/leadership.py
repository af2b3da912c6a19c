"""Chooses the one relay of many that looks at DNS and tells of events: who holds a lock.

The lock is PostgreSQL's, and ends with the connection that holds it. In a file of its own, a relay
is always the one.
"""

from __future__ import annotations

from enum import Enum

from sqlalchemy import Connection, Engine, text

from alignd.ledger.database import LedgerError


class Role(Enum):
    """What one relay of many does; each role may be another's. The value is that of the lock."""

    LOOKING = 0x616C6764_6C6F6F6B  # "algdlook"
    TELLING_WEBHOOK = 0x616C6764_686F6F6B  # "algdhook"
    TELLING_COMMAND = 0x616C6764_636F6D6D  # "algdcomm"


class Leadership:
    """A claim to be the one that has a role; for one thread."""

    def __init__(self, engine: Engine, role: Role) -> None:
        self._engine = engine
        self._role = role
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
        try:
            is_mine = bool(connection.execute(question, {"key": self._role.value}).scalar_one())
        except BaseException:
            connection.close()
            raise
        if is_mine:
            self._connection = connection
        else:
            connection.close()
        return is_mine
