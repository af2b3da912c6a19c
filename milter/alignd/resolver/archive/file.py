"""The file of the archive (SQLite): opened by its one owner, put aside when it is broken.

Whatever is found at its place, no byte of another's file is changed, and nothing of ours can be
read by other users.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from math import isfinite
from pathlib import Path

from alignd.resolver.archive.memory import ARCHIVE_OCTETS, Row
from alignd.resolver.cache import LARGE

VERSION = 2
"""Of the schema. The first one had names that were made of local parts of addresses."""
_APPLICATION = 0x616C6764  # "algd", for file(1)
_PATIENCE = 5.0  # seconds that another process may hold the file, such as one that ends
_PAGE = 4096  # octets
_ROWS_AT_ONCE = 500
_CHANGES_AT_ONCE = 5000  # rows of one transaction, so that its journal stays small
_JOURNAL_OCTETS = 2**20  # that it keeps between two transactions
# The rows of one number are the order in which they were written, so that no other order of a
# large file is ever made: SQLite gives the next one the greatest number and one more.
_SCHEMA = """\
CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    question TEXT NOT NULL UNIQUE,
    heard REAL NOT NULL,
    response BLOB NOT NULL
)"""
_FIRST_SCHEMA = """\
CREATE TABLE answers (
    name TEXT NOT NULL, type TEXT NOT NULL, heard REAL NOT NULL, wire BLOB NOT NULL,
    PRIMARY KEY (name, type)
) WITHOUT ROWID"""
_SELECT = "SELECT question, heard, response FROM answers ORDER BY number DESC"
_INSERT = "INSERT OR REPLACE INTO answers (question, heard, response) VALUES (?, ?, ?)"
_FORGET_OLDEST_SIXTEENTH = """
DELETE FROM answers WHERE number <= (
    SELECT number FROM answers ORDER BY number LIMIT 1 OFFSET (SELECT count(*) / 16 FROM answers)
)
"""
# What is limited to a part of them; both are repeated until there is nothing left to do.
_FORGET = """
DELETE FROM answers WHERE number IN (SELECT number FROM answers WHERE heard < ?1 LIMIT ?2)
"""
_DATE_BACK = """
UPDATE answers SET heard = ?1
WHERE number IN (SELECT number FROM answers WHERE heard > ?1 LIMIT ?2)
"""
_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # octets, https://www.sqlite.org/fileformat2.html#the_database_header
_TO_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COMPANIONS = ("-wal", "-journal", "-shm")
# A page that is not there is as broken as a wrong one.
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_SHORT_READ}


class BrokenFileError(Exception):
    """The file is not an archive, or no longer: its text says what is wrong."""


class UnusableFileError(Exception):
    """What is there is no file of ours, and must not be touched: the text says what it is."""


class _Found(Enum):
    NOTHING = "nothing"
    ARCHIVE = "archive"
    FIRST_VERSION = "first-version"


class ArchiveFile:
    """The open file. Any of its methods may wait for the disk for as long as that stalls.

    All of them raise:
        BrokenFileError: it has to be put aside.
        sqlite3.Error, OSError: it cannot be read or written now; perhaps later.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it; one of the first version is deleted.

        Raises:
            UnusableFileError: no file can be made there.
        """
        self._path = path
        self.has_deleted_first_version = False
        found = _look_at(path)
        if found is _Found.FIRST_VERSION:
            for each in _with_companions(path):
                each.unlink(missing_ok=True)
            self.has_deleted_first_version = True
        if found is not _Found.ARCHIVE:
            # What was left of a file that is gone must not be taken for part of the new one.
            for each in _with_companions(path)[1:]:
                each.unlink(missing_ok=True)
        self._connection = _connect(path)
        self._size = 0
        self._descriptor: int | None = None
        try:
            self._prepare(is_new=found is not _Found.ARCHIVE)
            self._descriptor = os.open(path, _TO_LOOK)
        except sqlite3.Error as error:
            self.close()
            raise _judged(error) from error
        except BaseException:
            self.close()
            raise

    def rows(self) -> Iterator[list[Row]]:
        """All answers, those that were written last first."""
        try:
            cursor = self._connection.execute(_SELECT)
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                yield [Row(*row) for row in rows if _is_sound(row)]
        except sqlite3.Error as error:
            raise _judged(error) from error

    def write(self, rows: list[Row]) -> None:
        """Write answers; when the file is as large as it may be, the oldest make room."""
        try:
            while not self._insert(rows):
                with self._connection:
                    self._connection.execute(_FORGET_OLDEST_SIXTEENTH)
        except sqlite3.Error as error:
            raise _judged(error) from error

    def forget(self, heard_before: float, now: float) -> None:
        """Delete what was heard before that Unix time, and date what is of the future to *now*.

        Without the latter it would stay for ever.
        """
        try:
            self._repeat(_FORGET, heard_before)
            self._repeat(_DATE_BACK, now)
        except sqlite3.Error as error:
            raise _judged(error) from error

    def is_in_place(self) -> bool:
        """Whether the file is still the one at its path: not deleted, and not replaced.

        SQLite reads again nothing that it has in memory, and would write into what is no database
        any more: so it is looked at here whether the file begins and ends as it should.
        """
        assert self._descriptor is not None
        found = os.fstat(self._descriptor)
        try:
            if not os.path.samestat(found, self._path.lstat()):
                return False
        except FileNotFoundError:
            return False
        if found.st_size < self._size or not _is_ours(os.pread(self._descriptor, _HEADER, 0)):
            raise BrokenFileError("another program has changed it")
        self._size = found.st_size
        return True

    def close(self) -> None:
        with suppress(sqlite3.Error):  # nothing is left to be written
            self._connection.close()
        if self._descriptor is not None:
            os.close(self._descriptor)  # not before: this ends the lock of this process as well

    def _prepare(self, *, is_new: bool) -> None:
        run = self._connection.execute
        # Once it has the file, nobody takes it away. And no write-ahead log: its index is in
        # shared memory, where a file that is cut ends whoever reads it (SIGBUS); and a file that
        # was written with one cannot be read where nothing can be written.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = TRUNCATE")
        run("PRAGMA synchronous = NORMAL")
        run(f"PRAGMA journal_size_limit = {_JOURNAL_OCTETS}")
        run(f"PRAGMA max_page_count = {ARCHIVE_OCTETS // _PAGE}")
        run("PRAGMA cell_size_check = ON")
        if is_new:
            # In one transaction: whatever ends this, the header says what the file is.
            run("BEGIN EXCLUSIVE")
            run(_SCHEMA)
            run(f"PRAGMA application_id = {_APPLICATION}")
            run(f"PRAGMA user_version = {VERSION}")
            run("COMMIT")
        if _schemas(self._connection) != [_SCHEMA]:
            raise BrokenFileError("it has another schema")

    def _repeat(self, change: str, moment: float) -> None:
        while True:
            with self._connection:
                cursor = self._connection.execute(change, (moment, _CHANGES_AT_ONCE))
                if cursor.rowcount < _CHANGES_AT_ONCE:
                    return

    def _insert(self, rows: list[Row]) -> bool:
        """Insert answers, unless the file is as large as it may be."""
        try:
            with self._connection:
                self._connection.executemany(_INSERT, rows)
        except sqlite3.OperationalError as error:
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            if _code(error) != sqlite3.SQLITE_FULL or pages * _PAGE < ARCHIVE_OCTETS // 2:
                raise  # it is not the file that is full, but the disk
            return False
        return True


def put_aside(path: Path) -> Path:
    """Rename the file, and what SQLite has beside it, over what was put aside before.

    Returns:
        The new name of the file.
    """
    aside = path.with_name(f"{path.name}.broken")
    for old, new in zip(_with_companions(path), _with_companions(aside), strict=True):
        try:
            old.replace(new)
        except FileNotFoundError:
            new.unlink(missing_ok=True)
    return aside


def _look_at(path: Path) -> _Found:
    """Find out what is at *path*, and take from other users the right to read it."""
    header = b""
    for each in _with_companions(path):
        try:
            found = each.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise UnusableFileError(f"{each} is not a regular file")
        # What has been looked at is what is opened: a link is not followed.
        descriptor = os.open(each, _TO_LOOK)
        try:
            if stat.S_IMODE(found.st_mode) != stat.S_IRUSR | stat.S_IWUSR:
                os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
            if each == path:
                header = os.read(descriptor, _HEADER)
        finally:
            os.close(descriptor)  # before SQLite opens it: this would end its lock as well
    if not header:
        return _Found.NOTHING
    if not header.startswith(_MAGIC):
        raise BrokenFileError("it is not a database of SQLite")
    if _is_ours(header):
        return _Found.ARCHIVE
    if _marks(header) == (0, 0) and _is_first_version(path):
        return _Found.FIRST_VERSION
    raise BrokenFileError("it is a database of something else, or of a later version")


def _is_ours(header: bytes) -> bool:
    return header.startswith(_MAGIC) and _marks(header) == (VERSION, _APPLICATION)


def _marks(header: bytes) -> tuple[int, int]:
    """The version of the schema, and the mark of the application that has made it."""
    return int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")


def _is_first_version(path: Path) -> bool:
    connection = _connect(path)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return _schemas(connection) == [_FIRST_SCHEMA]
    except sqlite3.Error as error:
        raise _judged(error) from error
    finally:
        connection.close()


def _schemas(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
    return [sql for (sql,) in connection.execute(query)]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE)
    # Whatever the file says: bytes that are no text are a row that is left out.
    connection.text_factory = lambda octets: octets.decode(errors="replace")
    return connection


def _is_sound(row: tuple[object, object, object]) -> bool:
    """Whether the values have the types of the schema, which SQLite does not see to."""
    question, heard, response = row
    return (
        isinstance(question, str)
        and isinstance(heard, float)
        and isfinite(heard)
        and isinstance(response, bytes)
        and len(response) <= LARGE
    )


def _judged(error: sqlite3.Error) -> Exception:
    return BrokenFileError(str(error)) if _code(error) in _BROKEN else error


def _code(error: sqlite3.Error) -> int:
    """The code of SQLite; without the details, but for those of `_BROKEN`."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code if code in _BROKEN else code & 0xFF


def _with_companions(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + suffix) for suffix in _COMPANIONS)]
