"""Remembers DNS answers: fresh by their TTL, and stale ones for when DNS is down.

In memory for the process, and in a file for all workers and over restarts, if there is one. The
file is written in the background and read only when DNS has failed: no message waits for it.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
from cachetools import LRUCache, TTLCache

from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.wire import Heard, read_response

CACHE_SIZE = 50_000
"""Answers that are kept in memory; the least used go first."""
MAX_FAILURE_SECONDS = 300.0
"""How long a failure may be kept, RFC 2308, section 7.1."""
_REFRESH_AT = 0.8  # of its life
_BATCH_SECONDS = 1.0
_PATIENCE = 5.0  # seconds that another worker may hold the file
_AGAIN = 0.005  # seconds
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    name TEXT NOT NULL, type TEXT NOT NULL, heard REAL NOT NULL, wire BLOB NOT NULL,
    PRIMARY KEY (name, type)
) WITHOUT ROWID
"""

Question = tuple[str, RecordType]


@dataclass(slots=True)
class Remembered:
    """An answer, and since when it is known."""

    answer: Answer
    heard: float
    """Unix time."""
    expires: float
    """Unix time; afterwards it is stale."""
    refreshing: bool = False

    @property
    def due(self) -> float:
        """The Unix time from which on it is asked again when it is used, so that nobody waits."""
        return self.heard + _REFRESH_AT * (self.expires - self.heard)


class Memory:
    """The answers that a process knows; safe for threads.

    A failure is kept for *min_ttl* too, so that it costs a burst of messages one timeout.
    """

    def __init__(self, min_ttl: float, max_ttl: float, max_negative_ttl: float) -> None:
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._max_negative_ttl = min(max_ttl, max_negative_ttl)
        self._known: LRUCache[Question, Remembered] = LRUCache(CACHE_SIZE)
        self._failures: TTLCache[Question, LookupFailed] = TTLCache(
            CACHE_SIZE, min(min_ttl, MAX_FAILURE_SECONDS)
        )
        self._lock = threading.Lock()

    def failure(self, question: Question) -> LookupFailed | None:
        """Why *question* could not be answered just now, if so."""
        with self._lock:
            return self._failures.get(question)

    def put_failure(self, question: Question, failure: LookupFailed) -> None:
        """Remember for a short while that there is no answer."""
        with self._lock:
            self._failures[question] = failure

    def get(self, question: Question) -> Remembered | None:
        """What is known of *question*, fresh or stale."""
        with self._lock:
            return self._known.get(question)

    def put(self, question: Question, heard: Heard, now: float) -> Remembered:
        """Remember an answer by its TTL, within the bounds."""
        longest = self._max_ttl if heard.answer.records else self._max_negative_ttl
        ttl = min(max(heard.ttl, self._min_ttl), longest)
        remembered = Remembered(heard.answer, now, now + ttl)
        with self._lock:
            self._known[question] = remembered
        return remembered


class Archive:
    """Answers in a file (SQLite), shared by all workers."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            sqlite3.Error: it can be neither.
        """
        self._database = sqlite3.connect(path, check_same_thread=False, timeout=_PATIENCE)
        self._prepare(time.monotonic() + _PATIENCE)
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[str, str, float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._write_batches, name="dns archive", daemon=True).start()

    def _prepare(self, deadline: float) -> None:
        """Make the file ready, however many workers begin at the same time.

        While one of them makes it, SQLite tells the others at once that it is locked: the journal
        mode is not waited for as all else is (measured).
        """
        while True:
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = OFF")  # may be lost with the machine
                self._database.execute(_SCHEMA)
                self._database.commit()
            except sqlite3.OperationalError as error:
                is_locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_locked or time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN)
            else:
                return

    def put(self, question: Question, wire: bytes, now: float) -> None:
        """Write an answer, some time soon."""
        self._queue.put((question[0], question[1].value, now, wire))

    def get(self, question: Question, not_before: float) -> Answer | None:
        """The answer to *question*, if it was heard after *not_before*; None when it is not there.

        A file that cannot be read has nothing, since DNS has failed already when it is asked.
        """
        select = "SELECT wire FROM answers WHERE name = ? AND type = ? AND heard > ?"
        key = (question[0], question[1].value, not_before)
        try:
            with self._lock:
                row = self._database.execute(select, key).fetchone()
            heard = read_response(dns.message.from_wire(row[0])) if row else None
        except (sqlite3.Error, dns.exception.DNSException):
            return None
        return heard.answer if isinstance(heard, Heard) else None

    def forget(self, before: float) -> None:
        """Drop the answers that were heard before then."""
        with self._lock, self._database:
            self._database.execute("DELETE FROM answers WHERE heard < ?", (before,))

    def _write_batches(self) -> None:
        pause = threading.Event()
        while True:
            batch = [self._queue.get()]
            pause.wait(_BATCH_SECONDS)
            while not self._queue.empty():
                batch.append(self._queue.get())
            try:
                with self._lock, self._database:
                    self._database.executemany(
                        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", batch
                    )
            except sqlite3.Error:
                continue  # a full disk costs what it would have kept, and no mail
