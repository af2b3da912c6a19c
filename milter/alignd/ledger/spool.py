"""The file of one relay, to which all counts go first: its one owner opens and writes it."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import DBAPIError

from alignd.config.whole_file import lock_beside
from alignd.ledger.answer import NO_DOMAIN, OTHER
from alignd.ledger.apply import apply_batch, note_relay
from alignd.ledger.batch import DAY, Batch
from alignd.ledger.database import create_file, execute_each, open_database, problem_of
from alignd.ledger.database import insert as upsert
from alignd.ledger.fleet import outbox
from alignd.ledger.fleet.outbox import Dropped, Waiting
from alignd.ledger.migration import APPLICATION, migrate
from alignd.ledger.place import LedgerPlace
from alignd.ledger.tables import ADMITTED, SOURCES, SPOOL
from alignd.ledger.writer import Writer
from alignd.resolver.archive.file import put_aside

# A page that is not there is as broken as a wrong one.
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_SHORT_READ}
_DETAIL = 0xFF  # a code of SQLite without its details


class SpoolError(Exception):
    """The file cannot be used now: its text says why."""


class Spool:
    """The open file. Every method waits for the disk, for as long as that stalls.

    All of them raise:
        SpoolError: it cannot be used now; perhaps later.
        SchemaError: a later alignd has written it.
        LedgerError, OSError: it cannot be read or written now. If it is broken, it was put aside,
            and who opens it again has a new one.
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
        self._report = report
        self.events: list[str] = []
        """The kinds of the events that writing has made, until they are taken away."""
        self.dropped: list[Dropped] = []
        """What the outbox had no room for, until it is taken away."""
        self.is_put_aside = False
        """Whether the file turned out to be broken, and is gone with what waited in it."""
        self._lock = _lock(place.file)
        try:
            self.engine = self._opened()
            if not place.shared_url:
                self._take_back()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        self.engine.dispose()
        os.close(self._lock)

    def numbers(self) -> dict[str, int]:
        """The number of the last message of each ring that is in the file."""
        with self._begin() as connection:
            return {row.source: row.number for row in connection.execute(select(SOURCES))}

    def admitted(self) -> dict[str, int]:
        """The domains that have rows of their own, and the day on which each got them."""
        with self._begin() as connection:
            return {row.domain: row.day for row in connection.execute(select(ADMITTED))}

    def write(self, batch: Batch, numbers: Mapping[str, int], admitted: Mapping[str, int]) -> None:
        """Write *batch*, with the number of the last message of each ring, whole or not at all."""
        events: list[str] = []
        dropped = None
        with self._begin() as connection:
            _set_numbers(connection, numbers)
            _admit(connection, admitted)
            _note_senders(connection, batch)
            if self._place.shared_url and batch.rows:
                dropped = outbox.put(connection, batch, self._now())
            elif batch.rows:
                events = apply_batch(connection, batch, self._writer, self._now())
        self.events += events
        if dropped:
            self.dropped.append(dropped)

    def note_alive(self) -> None:
        """Note in the file that the relay is alive, where there is no other database for it."""
        if not self._place.shared_url:
            with self._begin() as connection:
                note_relay(connection, self._writer, self._now())

    def waiting(self) -> Waiting:
        """What waits for the database that relays share."""
        with self._begin() as connection:
            return outbox.waiting(connection)

    def _opened(self) -> Engine:
        path = self._place.file
        engine = open_database(f"sqlite:///{path}")
        create_file(path)
        if _is_broken(path):
            self._put_aside("it is not a database of SQLite")
            create_file(path)
        try:
            self._prepare(engine)
        except DBAPIError as error:
            if not _says_broken(error.orig):
                raise
            self._put_aside(problem_of(error))
            create_file(path)
            self._prepare(engine)
        return engine

    def _prepare(self, engine: Engine) -> None:
        migrate(engine)
        with engine.begin() as connection:
            _name(connection, self._writer.relay)
            outbox.begin_anew(connection)

    def _take_back(self) -> None:
        """Count here what waits for a shared database that is configured no more."""
        messages = 0
        while True:
            with self._begin() as connection:
                try:
                    first = outbox.begin_sending(connection)
                except outbox.UnreadableBatchError as error:
                    outbox.acknowledge(connection, error.number)
                    self._report(f"ledger has dropped counts: {error}")
                    continue
                if first is None:
                    break
                number, batch = first
                events = apply_batch(connection, batch, self._writer, self._now())
                outbox.acknowledge(connection, number)
            self.events += events
            messages += batch.messages
        if messages:
            self._report(
                "ledger keeps what waited for a database that is configured no more: "
                f"{messages} messages"
            )

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            if _says_broken(error.orig):
                self._put_aside(problem_of(error))
                self.is_put_aside = True
            raise

    def _put_aside(self, problem: str) -> None:
        aside = put_aside(self._place.file)
        self._report(f"ledger is broken and was put aside as {aside}: {problem}")


def _lock(path: Path) -> int:
    """Keep others from *path*: two that write one file would count against each other's rings."""
    try:
        return lock_beside(path)
    except FileNotFoundError as error:
        raise SpoolError(f"{path.parent}: no such directory") from error
    except BlockingIOError as error:
        raise SpoolError(f"{path}: another process has this ledger") from error


def _is_broken(path: Path) -> bool:
    """Whether *path* is no database; looks, and changes nothing of what others may have there.

    Raises:
        SpoolError: it is a database of something else, or cannot be looked at.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            (mark,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        if _says_broken(error):
            return True
        raise SpoolError(f"{path}: {error}") from error
    if tables and mark != APPLICATION:
        raise SpoolError(
            f"{path} is a database of something else: name another file in ledger.url or "
            "ledger.spool"
        )
    return False


def _says_broken(error: BaseException | None) -> bool:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code in _BROKEN or code & _DETAIL in _BROKEN


def _name(connection: Connection, relay: str) -> None:
    """Give the file a random id, by which a shared database knows its batches.

    So has a copy on another relay, such as a machine that was cloned: with one id for both, the
    batches of one would be taken for those of the other.
    """
    found = connection.execute(select(SPOOL.c.id)).scalar()
    if found is None or found.rpartition(".")[0] != relay:
        connection.execute(delete(SPOOL))
        connection.execute(insert(SPOOL).values(id=f"{relay}.{secrets.token_hex(8)}"))


def _set_numbers(connection: Connection, numbers: Mapping[str, int]) -> None:
    connection.execute(delete(SOURCES))
    if numbers:
        rows = [{"source": each, "number": numbers[each]} for each in sorted(numbers)]
        connection.execute(insert(SOURCES), rows)


def _admit(connection: Connection, admitted: Mapping[str, int]) -> None:
    if admitted:
        days = [
            {"domain": each, "day": admitted[each], "seen": admitted[each]}
            for each in sorted(admitted)
        ]
        connection.execute(upsert(connection, ADMITTED).on_conflict_do_nothing(), days)


def _note_senders(connection: Connection, batch: Batch) -> None:
    """Note that domains with rows of their own have sent; a write for each of them and day.

    One that was silent for so long that it was forgotten meanwhile is there again.
    """
    seen = {
        key.domain: key.hour // DAY * DAY
        for key in sorted(batch.counts)
        if key.domain not in (NO_DOMAIN, OTHER)
    }
    if not seen:
        return
    rows = [{"domain": each, "day": seen[each], "seen": seen[each]} for each in sorted(seen)]
    statement = upsert(connection, ADMITTED)
    is_later = ADMITTED.c.seen < statement.excluded.seen
    changed = {"seen": statement.excluded.seen}
    statement = statement.on_conflict_do_update(
        index_elements=["domain"], set_=changed, where=is_later
    )
    execute_each(connection, statement, rows)
