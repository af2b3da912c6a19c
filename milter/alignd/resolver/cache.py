"""Caches DNS answers: fresh for their TTL, and stale for when DNS fails (RFC 8767).

In memory for the process, and in a file for all workers and over restarts, if there is one. The
file is written in the background and read only when DNS has failed: no message waits for it. Both
have a bound in octets, since what is in an answer is up to whoever owns the domain.
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

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, Record, RecordType
from alignd.resolver.octet_cache import OctetCache
from alignd.resolver.wire import ReceivedAnswer, read_response

LARGE = 4096
"""Octets from which an answer is large: what RFC 6891, section 6.2.5, expects UDP to carry, and
eight times what RFC 7208, section 3.4, asks of an SPF record. Large answers crowd out one another
only, and are not written to the file."""
CACHE_OCTETS = 24 * 2**20
"""Of the answers in memory that are not large: some 30,000 of ordinary domains."""
LARGE_OCTETS = 8 * 2**20
"""Of the large ones, which would otherwise be asked for again by each message."""
FAILURE_OCTETS = 4 * 2**20
ARCHIVE_OCTETS = 64 * 2**20
"""The most that the file grows to."""
WAITING_OCTETS = 4 * 2**20
"""Of answers that wait to be written to the file; what comes beyond is not written."""
MAX_FAILURE_SECONDS = 300.0
"""How long a failure may be kept, RFC 2308, section 7.1."""
_REFRESH_AT = 0.8  # of the time from its arrival to its expiry
_BATCH_SECONDS = 1.0
_FORGET_SECONDS = 3600.0  # between two times that the file is cleared of what is too old
_PATIENCE = 5.0  # seconds that another worker may hold the file, while this one writes
_RETRY_SECONDS = 0.005
_PAGE = 4096  # octets
_OBJECTS = 300  # octets of a question, an answer and a cached answer, without what is in them
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

Question = tuple[str, RecordType]
_Row = tuple[str, str, float, bytes]


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


def octets_of(question: Question, answer: Answer) -> int:
    """The octets that *answer* to *question* takes in memory."""
    return (
        _OBJECTS
        + sys.getsizeof(question[0])
        + sys.getsizeof(answer.records)
        + sys.getsizeof(answer.alias_of)
        + sum(map(_octets_of_record, answer.records))
    )


def _octets_of_record(record: Record) -> int:
    if isinstance(record, MailExchange):
        return sys.getsizeof(record) + sys.getsizeof(record.host)
    return sys.getsizeof(record)


class AnswerCache:
    """The answers and the recent failures that a process knows; safe for threads."""

    def __init__(self, min_ttl: float, max_ttl: float, max_negative_ttl: float) -> None:
        """Times are in seconds, *max_negative_ttl* is for absent records.

        A failure is kept for *min_ttl* too, so that it costs a burst of messages one timeout.
        """
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._max_negative_ttl = min(max_ttl, max_negative_ttl)
        self._failure_seconds = min(min_ttl, MAX_FAILURE_SECONDS)
        self._answers: OctetCache[Question, CachedAnswer] = OctetCache(CACHE_OCTETS)
        self._large: OctetCache[Question, CachedAnswer] = OctetCache(LARGE_OCTETS)
        self._failures: OctetCache[Question, tuple[LookupFailed, float]] = OctetCache(
            FAILURE_OCTETS
        )

    def failure(self, question: Question) -> LookupFailed | None:
        """Why *question* could not be answered a moment ago, if that is so."""
        kept = self._failures.get(question)
        return kept[0] if kept and time.monotonic() < kept[1] else None

    def put_failure(self, question: Question, failure: LookupFailed) -> None:
        until = time.monotonic() + self._failure_seconds
        self._failures.put(question, (failure, until), sys.getsizeof(question[0]))

    def get(self, question: Question) -> CachedAnswer | None:
        """The last answer to *question*, fresh or stale."""
        return self._answers.get(question) or self._large.get(question)

    def put(self, question: Question, received: ReceivedAnswer, now: float) -> CachedAnswer:
        """Cache an answer for its TTL, within the bounds."""
        longest = self._max_ttl if received.answer.records else self._max_negative_ttl
        ttl = min(max(received.ttl, self._min_ttl), longest)
        cached = CachedAnswer(received.answer, now, now + ttl)
        octets = octets_of(question, received.answer)
        wanted, other = self._answers, self._large
        if octets > LARGE:
            wanted, other = other, wanted
        wanted.put(question, cached, octets)
        other.discard(question)
        return cached


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer that waits to be written."""

    question: Question
    received: float
    wire: bytes

    @property
    def octets(self) -> int:
        return _OBJECTS + sys.getsizeof(self.question[0]) + sys.getsizeof(self.wire)

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

    def put(self, question: Question, wire: bytes, now: float) -> None:
        """Write the response *wire* in the background, in about a second."""
        if len(wire) > LARGE:
            return
        entry = _Entry(question, now, wire)
        with self._count_lock:
            if self._ended.is_set() or self._waiting_octets + entry.octets > WAITING_OCTETS:
                return
            self._waiting_octets += entry.octets
            self._waiting.put(entry)

    def get(self, question: Question, not_before: float) -> Answer | None:
        """The answer to *question*, if it arrived after *not_before* (Unix time).

        A file that cannot be read has no answer: it is a last resort, and DNS has failed already.
        """
        select = "SELECT wire FROM answers WHERE name = ? AND type = ? AND heard > ?"
        key = (question[0], question[1].value, not_before)
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
