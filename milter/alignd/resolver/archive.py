"""Keeps DNS answers in a file (SQLite), for all workers and over restarts.

It is written in the background, and read only when DNS has failed. It has a bound in octets, since
what is in an answer is up to whoever owns the domain.
"""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dns.exception
import dns.message

from alignd.mailauth.dns import Answer
from alignd.resolver.cache import LARGE, OBJECTS, Question
from alignd.resolver.wire import ReceivedAnswer, read_response

ARCHIVE_OCTETS = 64 * 2**20
"""The most that the file grows to."""
WAITING_OCTETS = 4 * 2**20
"""Of answers that wait to be written to the file; what comes beyond is not written."""
_BATCH_SECONDS = 1.0
_FORGET_SECONDS = 3600.0  # between two times that the file is cleared of what is too old
_PATIENCE = 5.0  # seconds that another worker may hold the file, while this one writes
_RETRY_SECONDS = 0.005
_PAGE = 4096  # octets
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    name TEXT NOT NULL, type TEXT NOT NULL, heard REAL NOT NULL, wire BLOB NOT NULL,
    PRIMARY KEY (name, type)
) WITHOUT ROWID
"""
_FORGET_OLDEST_QUARTER = """
DELETE FROM answers WHERE heard <= (
    SELECT heard FROM answers ORDER BY heard LIMIT 1 OFFSET (SELECT count(*) / 4 FROM answers)
)
"""

_Row = tuple[str, str, float, bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer that waits to be written."""

    question: Question
    received: float
    wire: bytes

    @property
    def octets(self) -> int:
        return OBJECTS + sys.getsizeof(self.question[0]) + sys.getsizeof(self.wire)

    @property
    def row(self) -> _Row:
        return (self.question[0], self.question[1].value, self.received, self.wire)


class Archive:
    """Answers in a file (SQLite), shared by all workers."""

    def __init__(self, path: Path, keep_seconds: float, report: Callable[[str], None]) -> None:
        """Open the file, or create it; answers older than *keep_seconds* are forgotten.

        Raises:
            sqlite3.Error: neither is possible.
        """
        self._keep_seconds = keep_seconds
        self._report = report
        # Two connections: with a log written ahead, whoever reads waits for no writer, of this
        # process or of another. And should one hold the file all the same, then not a moment.
        self._writing = _open(path, _PATIENCE)
        self._prepare(time.monotonic() + _PATIENCE)
        self._reading = _open(path, 0.0)
        # It refers to itself, and would be open until the garbage collector comes by.
        weakref.finalize(self, self._reading.close)
        self._read_lock = threading.Lock()  # among readers, who take microseconds
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._waiting_octets = 0
        self._count_lock = threading.Lock()
        self._ended = threading.Event()
        self._is_failing = False
        threading.Thread(target=self._write, name="dns archive", daemon=True).start()

    def _prepare(self, deadline: float) -> None:
        """Create what is missing in the file, however many workers start at the same time.

        While one of them switches the journal mode, SQLite fails in the others at once, without
        the timeout that it keeps for other statements (measured); so they retry.
        """
        while True:
            try:
                self._writing.execute("PRAGMA journal_mode = WAL")
                self._writing.execute("PRAGMA synchronous = OFF")  # may be lost with the machine
                self._writing.execute(f"PRAGMA max_page_count = {ARCHIVE_OCTETS // _PAGE}")
                self._writing.execute(_SCHEMA)
                self._writing.commit()
            except sqlite3.OperationalError as error:
                is_locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_locked or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def put(self, question: Question, wire: bytes) -> None:
        """Write the response *wire*, which has just arrived, in the background."""
        if len(wire) > LARGE:
            return
        entry = _Entry(question, time.time(), wire)
        with self._count_lock:
            if self._ended.is_set() or self._waiting_octets + entry.octets > WAITING_OCTETS:
                return
            self._waiting_octets += entry.octets
            self._waiting.put(entry)

    def get(self, question: Question) -> Answer | None:
        """The last known answer to *question*, if it is not too old.

        A file that cannot be read has no answer: it is a last resort, and DNS has failed already.
        """
        select = "SELECT wire FROM answers WHERE name = ? AND type = ? AND heard > ?"
        key = (question[0], question[1].value, time.time() - self._keep_seconds)
        try:
            with self._read_lock:
                row = self._reading.execute(select, key).fetchone()
            outcome = read_response(dns.message.from_wire(row[0])) if row else None
        except (sqlite3.Error, dns.exception.DNSException):
            return None
        return outcome.answer if isinstance(outcome, ReceivedAnswer) else None

    def end(self) -> None:
        """Write what is waiting, and nothing more; messages in progress may still read."""
        with self._count_lock:
            self._ended.set()
            self._waiting.put(None)

    def _write(self) -> None:
        forget_at = 0.0
        with closing(self._writing):
            while not self._ended.is_set() or not self._waiting.empty():
                if time.monotonic() >= forget_at:
                    self._try(self._forget)
                    forget_at = time.monotonic() + _FORGET_SECONDS
                rows = self._next_rows(forget_at - time.monotonic())
                if rows:
                    self._try(partial(self._insert, rows))

    def _next_rows(self, seconds: float) -> list[_Row]:
        """What comes within *seconds*, and in the second after it."""
        try:
            entries = [self._waiting.get(timeout=max(0.0, seconds))]
        except queue.Empty:
            return []
        self._ended.wait(_BATCH_SECONDS)
        while not self._waiting.empty():
            entries.append(self._waiting.get())
        batch = [entry for entry in entries if entry is not None]
        with self._count_lock:
            self._waiting_octets -= sum(entry.octets for entry in batch)
        return [entry.row for entry in batch]

    def _try(self, change: Callable[[], None]) -> None:
        """Make a *change* to the file; when it fails, that costs the change, and no mail."""
        try:
            change()
        except Exception as error:  # of a full disk, say: the thread has to outlive it
            if not self._is_failing:
                self._report(f"DNS answers are not archived: {type(error).__name__}: {error}")
            self._is_failing = True
        else:
            self._is_failing = False

    def _insert(self, rows: list[_Row]) -> None:
        insert = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)"
        try:
            with self._writing:
                self._writing.executemany(insert, rows)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
                raise
            # It is as large as it may be: the pages of the oldest answers are used again.
            with self._writing:
                self._writing.execute(_FORGET_OLDEST_QUARTER)
            with self._writing:
                self._writing.executemany(insert, rows)

    def _forget(self) -> None:
        oldest = time.time() - self._keep_seconds
        with self._writing:
            self._writing.execute("DELETE FROM answers WHERE heard < ?", (oldest,))


def _open(path: Path, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(path, check_same_thread=False, timeout=patience)
