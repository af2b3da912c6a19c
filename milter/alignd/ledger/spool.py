"""The file of one relay, to which all counts go first: its one owner opens and writes it."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import DatabaseError

from alignd.ledger import outbox
from alignd.ledger.apply import apply_batch, note_relay
from alignd.ledger.batch import Batch
from alignd.ledger.database import create_file, open_database, problem_of
from alignd.ledger.database import insert as upsert
from alignd.ledger.migration import migrate
from alignd.ledger.outbox import Dropped, Waiting
from alignd.ledger.place import LedgerPlace
from alignd.ledger.tables import ADMITTED, SOURCES, SPOOL
from alignd.ledger.writer import Writer
from alignd.resolver.archive.file import put_aside

_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_SHORT_READ}


class SpoolError(Exception):
    """The file cannot be used now: its text says why."""


class BrokenFileError(SpoolError):
    """The file was put aside, with all that was in it; the next `Spool` begins a new one."""


class Spool:
    """The open file. Every method waits for the disk, for as long as that stalls.

    All of them raise:
        SpoolError: it cannot be used now; perhaps later. It says where a broken one is.
        SchemaError: a later alignd has written it.
        LedgerError, OSError: it cannot be read or written now.
    """

    def __init__(
        self,
        place: LedgerPlace,
        writer: Writer,
        now: Callable[[], float],
        report: Callable[[str], None],
    ) -> None:
        """Open the file, or make it; *report* is told what happened to one that is broken."""
        self._place = place
        self._writer = writer
        self._now = now
        self._lock = _lock(place.file)
        try:
            self.engine = _open(place.file, report)
        except BaseException:
            os.close(self._lock)
            raise
        self.events: list[str] = []
        """The kinds of the events that writing has made, until they are taken away."""
        self.dropped: list[Dropped] = []
        """What the outbox had no room for, until it is taken away."""

    def close(self) -> None:
        self.engine.dispose()
        os.close(self._lock)

    def numbers(self) -> dict[str, int]:
        """The number of the last message of each ring that is in the file."""
        with self._transaction() as connection:
            return {row.source: row.number for row in connection.execute(select(SOURCES))}

    def admitted(self) -> dict[str, int]:
        """The domains that have rows of their own, and the day on which each got them."""
        with self._transaction() as connection:
            return {row.domain: row.day for row in connection.execute(select(ADMITTED))}

    def write(self, batch: Batch, numbers: Mapping[str, int], admitted: Mapping[str, int]) -> None:
        """Write *batch*, with the number of the last message of each ring, whole or not at all."""
        with self._transaction() as connection:
            connection.execute(delete(SOURCES))
            if numbers:
                rows = [{"source": each, "number": numbers[each]} for each in sorted(numbers)]
                connection.execute(insert(SOURCES), rows)
            if admitted:
                days = [{"domain": each, "day": admitted[each]} for each in sorted(admitted)]
                statement = upsert(connection, ADMITTED).on_conflict_do_nothing()
                connection.execute(statement, days)
            if not batch.rows:
                return
            if self._place.shared_url:
                if dropped := outbox.put(connection, batch, self._now()):
                    self.dropped.append(dropped)
            else:
                self.events += apply_batch(connection, batch, self._writer, self._now())

    def note_alive(self) -> None:
        """Note in the file that the relay is alive, where there is no other database for it."""
        if not self._place.shared_url:
            with self._transaction() as connection:
                note_relay(connection, self._writer, self._now())

    def waiting(self) -> Waiting:
        """What waits for the database that relays share."""
        with self._transaction() as connection:
            return outbox.waiting(connection)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            if not _is_broken(error):
                raise
            raise BrokenFileError(_put_aside(self._place.file, error)) from error


def _lock(path: Path) -> int:
    """Keep others from *path*: two that write one file would count against each other's rings."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise SpoolError(f"{path.parent}: no such directory") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolError(f"{path}: another process has this ledger") from error
    return descriptor


def _open(path: Path, report: Callable[[str], None]) -> Engine:
    try:
        return _opened(path)
    except DatabaseError as error:
        if not _is_broken(error):
            raise
        report(_put_aside(path, error))
        return _opened(path)


def _is_broken(error: DatabaseError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and (code in _BROKEN or code & 0xFF in _BROKEN)


def _put_aside(path: Path, error: DatabaseError) -> str:
    """Rename a broken file; a sentence about it."""
    return f"ledger is broken and was put aside as {put_aside(path)}: {problem_of(error)}"


def _opened(path: Path) -> Engine:
    create_file(path)
    engine = open_database(f"sqlite:///{path}")
    migrate(engine)
    with engine.begin() as connection:
        if connection.execute(select(SPOOL)).first() is None:
            connection.execute(insert(SPOOL).values(id=secrets.token_hex(8)))
    return engine
