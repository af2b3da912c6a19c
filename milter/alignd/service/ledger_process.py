"""The process that owns the ledger: takes what workers say from memory, and writes in threads.

Mail does not need it. Its main thread touches memory only, so it goes on while the disk stalls or
a database is away.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from alignd.judgement.review import make_reviewer
from alignd.ledger.batch import Batch
from alignd.ledger.database import LedgerError, open_database, problem_of
from alignd.ledger.event import Event
from alignd.ledger.migration import SchemaError
from alignd.ledger.ring import RingReader
from alignd.ledger.shipper import ALIVE_SECONDS, THIN_SECONDS, Shipper
from alignd.ledger.spool import Spool, SpoolError
from alignd.ledger.tally import Tally
from alignd.ledger.thinning import thin_out
from alignd.ledger.watch.assembly import make_watcher
from alignd.ledger.watch.looking import Outcome
from alignd.service.ledger_place import LedgerOptions
from alignd.service.processes.signals import PendingSignals
from alignd.service.setup import Leg
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import LedgerLoss, LedgerState, LookResult, Task

_READ_SECONDS = 0.25
"""How often the rings are read. A ring holds many seconds of mail."""
_WRITE_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two attempts to write
_HALF_FULL = 0.5  # of a ring: from then on its records wait in this process alone
_LAST_SECONDS = 1.5  # for what waits to be written at the end; then the supervisor kills it
_PRIVATE = 0o077  # umask
_TROUBLE = (SpoolError, SchemaError, LedgerError, OSError)


def serve_ledger(
    options: LedgerOptions,
    beat: Callable[[], None],
    readers: tuple[RingReader, ...],
    metrics: ProcessMetrics,
    log: MessageLog,
) -> None:
    """Serve until TERM, and write what waits then; *beat* is called several times a second."""
    os.umask(_PRIVATE)
    signals = PendingSignals()
    signals.watch()
    server = LedgerServer(options, readers, metrics, log)
    server.start()
    while not signals.take(signal.SIGTERM):
        beat()
        server.collect()
        server.show_state()
        select.select([signals.wakeup], [], [], _READ_SECONDS)
        signals.clear_wakeup()
    server.end()


class BackgroundTask(Protocol):
    """Something that a thread does for as long as the process lives."""

    def run(self, ended: threading.Event) -> None:
        """Work until *ended* is set. What it raises is a bug; it is run again after a pause."""


class LedgerServer:
    """Reads the rings into a tally, and has threads that write it."""

    def __init__(
        self,
        options: LedgerOptions,
        readers: tuple[RingReader, ...],
        metrics: ProcessMetrics,
        log: MessageLog,
    ) -> None:
        self._options = options
        self._readers = readers
        self._metrics = metrics
        self._log = log
        self._lock = threading.Lock()
        """Of the tally, and of what the readers have read."""
        self._tally: Tally | None = None
        """None until the file has said what it has already."""
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._file_problem = ""
        self._troubles = {"file": Trouble(), "database": Trouble()}
        self._alive_at = self._thin_at = -THIN_SECONDS
        self._shipper: Shipper | None = None

    def start(self) -> None:
        self._begin("ledger writer", _Run(self._write_until_the_end))

    def collect(self) -> None:
        """Read what workers have said since the last call."""
        with self._lock:
            if self._tally is None:
                return
            for reader in self._readers:
                for record in reader.read():
                    if record is None:
                        self._tally.malformed += 1
                    else:
                        self._tally.add(reader.source, record)
                if reader.fullness > _HALF_FULL:
                    # The file is away. Rather than losing what comes, it waits here.
                    reader.release(reader.position)
            self._count_losses(self._tally)

    def show_state(self) -> None:
        """Set the metrics, and log when something begins to fail and when it ends."""
        shipper = self._shipper
        database_problem = shipper.problem if shipper else ""
        self._tell("file", self._file_problem, "ledger is not written", "ledger is written again")
        self._tell(
            "database",
            database_problem,
            "ledger waits for its database",
            "ledger is in its database again",
        )
        if self._file_problem:
            state = LedgerState.FAILING
        elif self._tally is None:
            state = LedgerState.OPENING
        else:
            state = LedgerState.WAITING if database_problem else LedgerState.GOOD
        self._metrics.set_ledger(state)

    def end(self) -> None:
        """Write what waits, as far as that is possible in a moment."""
        self.collect()
        self._ended.set()
        deadline = time.monotonic() + _LAST_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _begin(self, name: str, task: BackgroundTask) -> None:
        def run() -> None:
            pause = _FIRST_PAUSE
            while not self._ended.is_set():
                try:
                    task.run(self._ended)
                except Exception as error:  # a bug: the others go on, and so does this one
                    self._metrics.task_failed(Task.LEDGER)
                    self._log.once_a_minute("ledger goes on after", error=described(error))
                    self._ended.wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _write_until_the_end(self, ended: threading.Event) -> None:
        spool: Spool | None = None
        pause, is_last = _FIRST_PAUSE, False
        while not is_last:
            is_last = ended.is_set()  # what has failed is tried once more at the end
            try:
                spool = spool or self._opened()
                self._write(spool)
            except _TROUBLE as error:
                self._file_problem = problem_of(error)
                if spool is not None:
                    spool.close()
                    spool = None
                ended.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._file_problem, pause = "", _FIRST_PAUSE
                ended.wait(_WRITE_SECONDS)
        if spool is not None:
            spool.close()

    def _opened(self) -> Spool:
        options = self._options
        spool = Spool(options.place, options.writer, time.time, self._log.service)
        if self._tally is None:
            names = {reader.source for reader in self._readers}
            numbers = {name: n for name, n in spool.numbers().items() if name in names}
            tally = Tally(spool.admitted(), numbers)
            with self._lock:
                self._tally = tally
            self.collect()
            self._start_others(spool)
        return spool

    def _start_others(self, spool: Spool) -> None:
        """Start what needs the file to be there."""
        options = self._options
        if options.place.shared_url:
            self._shipper = Shipper(
                spool.engine,
                open_database(options.place.shared_url),
                options.writer,
                options.setup.configuration.ledger.keep,
                time.time,
                self._metrics.ledger_event,
            )
            self._begin("ledger shipper", self._shipper)
        configuration = options.setup.configuration
        if options.setup.leg is Leg.OUTBOUND and configuration.ledger.watch:
            self._begin("ledger watcher", _Run(self._watch_until_the_end))

    def _watch_until_the_end(self, ended: threading.Event) -> None:
        options, setup = self._options, self._options.setup
        reviewer = make_reviewer(
            setup.configuration,
            setup.signer,
            time.time,
            processor_time=time.thread_time,
            directory=setup.directory,
        )
        make_watcher(
            open_database(options.place.url),
            reviewer,
            setup.nameservers,
            options.writer,
            _WatchObserver(self._metrics, self._log),
            self._metrics,
        ).run(ended)

    def _write(self, spool: Spool) -> None:
        batch, admitted, numbers, positions = self._take()
        try:
            spool.write(batch, numbers, admitted)
        except BaseException:
            self._put_back(batch, admitted)
            raise
        with self._lock:
            for reader, position in positions:
                reader.release(position)
        self._count_written(spool, batch)
        self._keep_house(spool)

    def _take(
        self,
    ) -> tuple[Batch, Mapping[str, int], dict[str, int], list[tuple[RingReader, int]]]:
        with self._lock:
            assert self._tally is not None
            batch, admitted = self._tally.take()
            positions = [(reader, reader.position) for reader in self._readers]
            return batch, admitted, dict(self._tally.numbers), positions

    def _put_back(self, batch: Batch, admitted: Mapping[str, int]) -> None:
        with self._lock:
            assert self._tally is not None
            self._tally.put_back(batch, admitted)

    def _count_written(self, spool: Spool, batch: Batch) -> None:
        self._metrics.ledger_wrote(batch.messages, batch.of_other_domains)
        for kind in spool.events:
            self._metrics.ledger_event(kind)
        spool.events.clear()
        for dropped in spool.dropped:
            self._metrics.ledger_lost(LedgerLoss.OUTBOX_FULL, dropped.messages)
            self._log.service(
                "ledger has dropped its oldest counts: its database was away for too long",
                messages=dropped.messages,
                since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(dropped.since)),
            )
        spool.dropped.clear()
        waiting = spool.waiting()
        age = max(0.0, time.time() - waiting.since) if waiting.messages else 0.0
        self._metrics.set_ledger_waiting(waiting.messages, age)

    def _keep_house(self, spool: Spool) -> None:
        now = time.monotonic()
        if now - self._alive_at >= ALIVE_SECONDS:
            self._alive_at = now
            spool.note_alive()
        if now - self._thin_at >= THIN_SECONDS:
            self._thin_at = now
            thin_out(spool.engine, self._options.setup.configuration.ledger.keep, time.time())

    def _count_losses(self, tally: Tally) -> None:
        for why, number in (
            (LedgerLoss.PROCESS_ENDED, tally.gaps),
            (LedgerLoss.MALFORMED, tally.malformed),
            (LedgerLoss.MEMORY_FULL, tally.overflowed),
        ):
            if number:
                self._metrics.ledger_lost(why, number)
        tally.gaps = tally.malformed = tally.overflowed = 0

    def _tell(self, what: str, problem: str, begins: str, ends: str) -> None:
        trouble, now = self._troubles[what], time.monotonic()
        if problem and trouble.since is None:
            trouble.since = now
            self._log.service(begins, problem=problem)
        elif not problem and trouble.since is not None:
            self._log.service(ends, seconds=round(now - trouble.since, 1))
            trouble.since = None


@dataclass(frozen=True, slots=True)
class _WatchObserver:
    """Counts and logs what looks at author domains have come to."""

    metrics: ProcessMetrics
    log: MessageLog

    def looked(self, outcome: Outcome) -> None:
        self.metrics.ledger_looked(LookResult(outcome.value))

    def late(self, seconds: float) -> None:
        self.metrics.set_ledger_late(seconds)

    def happened(self, event: Event) -> None:
        self.metrics.ledger_event(event.kind.value)
        about = {"domain": event.domain} if event.domain else {"now": event.now}
        if event.tenant:
            about["tenant"] = event.tenant
        self.log.service("ledger has an event", kind=event.kind.value, **about)

    def failed(self, problem: str, error: Exception) -> None:
        self.metrics.task_failed(Task.LEDGER)
        self.log.once_a_minute("ledger goes on after", problem=problem, error=described(error))

    def report(self, text: str) -> None:
        self.log.service(f"ledger: {text}")


@dataclass(slots=True)
class Trouble:
    """Since when something fails, by the monotonic clock; None while it is well."""

    since: float | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    run: Callable[[threading.Event], None]
