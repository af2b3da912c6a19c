"""Caches DNS answers: fresh for their TTL, and stale for when DNS fails (RFC 8767).

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
from alignd.resolver.wire import ReceivedAnswer, read_response

CACHE_SIZE = 50_000
"""Answers that are kept in memory; the least recently used go first."""
MAX_FAILURE_SECONDS = 300.0
"""How long a failure may be kept, RFC 2308, section 7.1."""
_REFRESH_AT = 0.8  # of the time from its arrival to its expiry
_BATCH_SECONDS = 1.0
_PATIENCE = 5.0  # seconds that another worker may hold the file
_RETRY_SECONDS = 0.005
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    name TEXT NOT NULL, type TEXT NOT NULL, heard REAL NOT NULL, wire BLOB NOT NULL,
    PRIMARY KEY (name, type)
) WITHOUT ROWID
"""

Question = tuple[str, RecordType]


@dataclass(slots=True)
class CachedAnswer:
    """An answer, when it arrived, and when it expires."""

    answer: Answer
    received: float
    """Unix time."""
    expires: float
    """Unix time; afterwards it is stale."""
    is_refreshing: bool = False

    @property
    def due(self) -> float:
        """The Unix time from which a use of it starts a refresh, so that no message waits."""
        return self.received + _REFRESH_AT * (self.expires - self.received)


class AnswerCache:
    """The answers and the recent failures that a process knows; safe for threads."""

    def __init__(self, min_ttl: float, max_ttl: float, max_negative_ttl: float) -> None:
        """Times are in seconds, *max_negative_ttl* is for absent records.

        A failure is kept for *min_ttl* too, so that it costs a burst of messages one timeout.
        """
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._max_negative_ttl = min(max_ttl, max_negative_ttl)
        self._answers: LRUCache[Question, CachedAnswer] = LRUCache(CACHE_SIZE)
        self._failures: TTLCache[Question, LookupFailed] = TTLCache(
            CACHE_SIZE, min(min_ttl, MAX_FAILURE_SECONDS)
        )
        self._lock = threading.Lock()

    def failure(self, question: Question) -> LookupFailed | None:
        """Why *question* could not be answered a moment ago, if that is so."""
        with self._lock:
            return self._failures.get(question)

    def put_failure(self, question: Question, failure: LookupFailed) -> None:
        with self._lock:
            self._failures[question] = failure

    def get(self, question: Question) -> CachedAnswer | None:
        """The last answer to *question*, fresh or stale."""
        with self._lock:
            return self._answers.get(question)

    def put(self, question: Question, received: ReceivedAnswer, now: float) -> CachedAnswer:
        """Cache an answer for its TTL, within the bounds."""
        longest = self._max_ttl if received.answer.records else self._max_negative_ttl
        ttl = min(max(received.ttl, self._min_ttl), longest)
        cached = CachedAnswer(received.answer, now, now + ttl)
        with self._lock:
            self._answers[question] = cached
        return cached


class Archive:
    """Answers in a file (SQLite), shared by all workers."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises:
            sqlite3.Error: neither is possible.
        """
        self._database = sqlite3.connect(path, check_same_thread=False, timeout=_PATIENCE)
        self._prepare(time.monotonic() + _PATIENCE)
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[str, str, float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._write_batches, name="dns archive", daemon=True).start()

    def _prepare(self, deadline: float) -> None:
        """Create what is missing in the file, however many workers start at the same time.

        While one of them switches the journal mode, SQLite fails in the others at once, without
        the timeout that it keeps for other statements (measured); so they retry.
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
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def put(self, question: Question, wire: bytes, now: float) -> None:
        """Write the response *wire* in the background, in about a second."""
        self._queue.put((question[0], question[1].value, now, wire))

    def get(self, question: Question, not_before: float) -> Answer | None:
        """The answer to *question*, if it arrived after *not_before* (Unix time).

        A file that cannot be read has no answer: it is a last resort, and DNS has failed already.
        """
        select = "SELECT wire FROM answers WHERE name = ? AND type = ? AND heard > ?"
        key = (question[0], question[1].value, not_before)
        try:
            with self._lock:
                row = self._database.execute(select, key).fetchone()
            outcome = read_response(dns.message.from_wire(row[0])) if row else None
        except (sqlite3.Error, dns.exception.DNSException):
            return None
        return outcome.answer if isinstance(outcome, ReceivedAnswer) else None

    def forget(self, before: float) -> None:
        """Delete the answers that arrived before the Unix time *before*."""
        with self._lock, self._database:
            self._database.execute("DELETE FROM answers WHERE heard < ?", (before,))

    def _write_batches(self) -> None:
        while True:
            batch = [self._queue.get()]
            time.sleep(_BATCH_SECONDS)
            while not self._queue.empty():
                batch.append(self._queue.get())
            try:
                with self._lock, self._database:
                    self._database.executemany(
                        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", batch
                    )
            except sqlite3.Error:
                continue  # a full disk costs this batch, and no mail
