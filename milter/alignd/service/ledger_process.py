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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from alignd.judgement.review import make_reviewer
from alignd.ledger.batch import Batch
from alignd.ledger.database import LedgerError, open_database, problem_of
from alignd.ledger.event import Event
from alignd.ledger.migration import SchemaError
from alignd.ledger.notify.assembly import make_tellers
from alignd.ledger.notify.teller import GIVEN_UP, Teller
from alignd.ledger.outbox import Waiting
from alignd.ledger.ring import Record, RingReader
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
from alignd.telemetry.words import LedgerLoss, LedgerState, LookResult, Task, TellingResult

_READ_SECONDS = 0.25
"""How often the rings are read. A ring holds many seconds of mail."""
_WRITE_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two attempts to write
_HALF_FULL = 0.5  # of a ring: from then on its records wait in this process alone
_STALL_SECONDS = 10.0
"""A disk that has not done something for so long stalls."""
_LAST_SECONDS = 3.0  # for what waits to be written at the end; then the supervisor kills it
_PRIVATE = 0o077  # umask
_TROUBLE = (SpoolError, SchemaError, LedgerError, OSError)


def serve_ledger(
    options: LedgerOptions,
    beat: Callable[[], None],
    signals: PendingSignals,
    readers: tuple[RingReader, ...],
    metrics: ProcessMetrics,
    log: MessageLog,
) -> None:
    """Serve until TERM, and write what waits then; *beat* is called several times a second."""
    os.umask(_PRIVATE)
    server = LedgerServer(options, readers, metrics, log)
    server.start()
    poll = select.poll()
    poll.register(signals.wakeup, select.POLLIN)
    while not signals.take(signal.SIGTERM):
        beat()
        server.collect()
        server.show_state()
        poll.poll(_READ_SECONDS * 1000)
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
        self._saved: Mapping[str, int] | None = None
        """The numbers that are in the file; None where that is not known."""
        self._failed: _Taken | None = None
        """What is being written, or was when that failed."""
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._file_problem = ""
        self._step_began: float | None = None
        """The monotonic time at which the writer began to wait for the disk."""
        self._troubles: dict[str, Trouble] = {}
        self._alive_at = -ALIVE_SECONDS
        self._waiting = Waiting(0, 0.0)
        self._shipper: Shipper | None = None
        self._tellers: tuple[Teller, ...] = ()

    def start(self) -> None:
        self.begin("ledger writer", _Run(self._write_until_the_end))

    def collect(self) -> None:
        """Read what workers have said since the last call."""
        with self._lock:
            if self._tally is None:
                return
            for reader in self._readers:
                for record in reader.read():
                    self._add(self._tally, reader.source, record)
                if reader.fullness > _HALF_FULL:
                    # The file is away. Rather than losing what comes, it waits here.
                    reader.free(reader.position)
            self._count_losses(self._tally)

    def _add(self, tally: Tally, source: str, record: Record | None) -> None:
        if record is None:
            # How many messages it was, the next number of this ring tells.
            self._log.once_a_minute("ledger skips messages: memory was damaged")
            return
        try:
            tally.add(source, record)
        except Exception as error:  # a bug: the next message is another one
            tally.malformed += 1
            self._note_failure(error)

    def show_state(self) -> None:
        """Set the metrics, and log when something begins to fail and when it ends."""
        shipper = self._shipper
        database_problem = shipper.problem if shipper else ""
        if shipper:
            self._tell_of_unreadable(shipper)
        file_problem = self._file_problem or self._stall()
        self._tell("file", file_problem, "ledger is not written", "ledger is written again")
        self._tell(
            "database",
            database_problem,
            "ledger waits for its database",
            "ledger is in its database again",
        )
        for teller in self._tellers:
            name = teller.name
            begins, ends = f"{name} does not take events", f"{name} takes events again"
            self._tell(name, teller.problem, begins, ends)
        self._metrics.set_ledger_untold(sum(each.waiting for each in self._tellers))
        if file_problem:
            state = LedgerState.FAILING
        elif self._tally is None:
            state = LedgerState.OPENING
        else:
            state = LedgerState.WAITING if database_problem else LedgerState.GOOD
        self._metrics.set_ledger(state)
        waiting = self._waiting
        age = max(0.0, time.time() - waiting.since) if waiting.messages else 0.0
        unsaved = sum(reader.unsaved for reader in self._readers)
        self._metrics.set_ledger_waiting(unsaved + waiting.messages, age)

    def end(self) -> None:
        """Write what waits, as far as that is possible in a moment."""
        self._ended.set()  # the last write collects first
        deadline = time.monotonic() + _LAST_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def begin(self, name: str, task: BackgroundTask) -> None:
        """Run *task* in a thread until the end, again after a pause if it raises."""

        def run() -> None:
            pause = _FIRST_PAUSE
            while not self._ended.is_set():
                try:
                    task.run(self._ended)
                except Exception as error:  # a bug: the others go on, and so does this one
                    self._note_failure(error)
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
                with self._step():
                    spool = spool or self._opened()
                    self._write(spool)
            except Exception as error:
                self._file_problem = self._told(error)
                if spool is not None:
                    self._close(spool)
                    spool = None
                ended.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._file_problem, pause = "", _FIRST_PAUSE
                ended.wait(_WRITE_SECONDS)
        if spool is not None:
            spool.close()

    def _told(self, error: Exception) -> str:
        if isinstance(error, _TROUBLE):
            return problem_of(error)
        self._note_failure(error)
        return described(error)

    def _close(self, spool: Spool) -> None:
        if spool.is_put_aside:
            self._metrics.ledger_lost(LedgerLoss.FILE_BROKEN, self._waiting.messages)
            self._waiting = Waiting(0, 0.0)
        spool.close()

    def _opened(self) -> Spool:
        options = self._options
        spool = Spool(options.place, options.writer, time.time, self._log.service)
        try:
            self._read(spool)
        except BaseException:
            spool.close()
            raise
        return spool

    def _read(self, spool: Spool) -> None:
        """Find out what is in the file already."""
        numbers, admitted = spool.numbers(), spool.admitted()
        if self._tally is None:
            # The rings know better than a file that was not in use, or is a new one. The file
            # knows better if a process was killed before it could tell the rings.
            known = {
                each.source: max(each.saved, numbers.get(each.source, 0)) for each in self._readers
            }
            with self._lock:
                self._tally = Tally(admitted, known)
            try:
                self._start_others(spool)
            except Exception as error:  # a bug: messages are counted all the same
                self._note_failure(error)
        else:
            self._take_back(numbers)
            with self._lock:
                self._tally.admit_again(admitted)
        self._saved = numbers

    def _take_back(self, numbers: Mapping[str, int]) -> None:
        """Have what was being written when that failed wait again, unless it is in the file."""
        failed, self._failed = self._failed, None
        if failed is None:
            return
        if failed.numbers == numbers:  # the disk has failed behind the commit
            self._note_saved(failed)
            return
        with self._lock:
            assert self._tally is not None
            self._tally.put_back(failed.batch, failed.admitted)

    def _start_others(self, spool: Spool) -> None:
        """Start what needs the file to be there."""
        options = self._options
        self.begin("ledger thinning", _Run(self._thin_out_until_the_end))
        if options.place.shared_url:
            self._shipper = Shipper(
                spool.engine,
                open_database(options.place.shared_url),
                options.writer,
                options.setup.configuration.ledger.keep,
                time.time,
                self._metrics.ledger_event,
            )
            self.begin("ledger shipper", self._shipper)
        if options.setup.leg is Leg.OUTBOUND:  # the other one has no events
            self._tellers = make_tellers(
                options.setup.configuration.notify,
                options.place.url,
                options.writer.version,
                os.environ,
                self._count_told,
            )
        for teller in self._tellers:
            self.begin(f"ledger {teller.name}", teller)
        configuration = options.setup.configuration
        if options.setup.leg is Leg.OUTBOUND and configuration.ledger.watch:
            self.begin("ledger watcher", _Run(self._watch_until_the_end))

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
        self.collect()
        taken = self._failed = self._take()
        if taken.admitted or taken.numbers != self._saved:
            spool.write(taken.batch, taken.numbers, taken.admitted)
        self._failed = None
        self._note_saved(taken)
        self._note_written(spool)
        if time.monotonic() - self._alive_at >= ALIVE_SECONDS:
            self._alive_at = time.monotonic()
            spool.note_alive()

    def _take(self) -> _Taken:
        with self._lock:
            assert self._tally is not None
            batch, admitted = self._tally.take()
            positions = [reader.position for reader in self._readers]
            return _Taken(batch, admitted, dict(self._tally.numbers), positions)

    def _note_saved(self, taken: _Taken) -> None:
        self._saved = taken.numbers
        with self._lock:
            for reader, position in zip(self._readers, taken.positions, strict=True):
                reader.save(position, taken.numbers[reader.source])
        self._metrics.ledger_wrote(taken.batch.messages, taken.batch.of_other_domains)

    def _note_written(self, spool: Spool) -> None:
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
        self._waiting = spool.waiting()

    def _tell_of_unreadable(self, shipper: Shipper) -> None:
        while shipper.unreadable:
            batch = shipper.unreadable.pop(0)
            self._metrics.ledger_lost(LedgerLoss.MALFORMED, batch.messages)
            self._log.service("ledger has dropped counts", problem=str(batch))

    def _thin_out_until_the_end(self, ended: threading.Event) -> None:
        keep = self._options.setup.configuration.ledger.keep
        engine = open_database(f"sqlite:///{self._options.place.file}")
        while not ended.is_set():
            try:
                thin_out(engine, keep, time.time())
            except LedgerError as error:  # the writer tells of it, if it lasts
                self._log.once_a_minute("ledger is not thinned out", problem=problem_of(error))
            ended.wait(THIN_SECONDS)

    def _stall(self) -> str:
        began = self._step_began
        is_stalled = began is not None and time.monotonic() - began > _STALL_SECONDS
        return "the disk does not respond" if is_stalled else ""

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Something that waits for the disk."""
        self._step_began = time.monotonic()
        try:
            yield
        finally:
            self._step_began = None

    def _note_failure(self, error: Exception) -> None:
        self._metrics.task_failed(Task.LEDGER)
        self._log.once_a_minute("ledger goes on after", error=described(error))

    def _count_told(self, target: str, result: str, events: int) -> None:
        self._metrics.ledger_told(TellingResult(result), events)
        if result == GIVEN_UP:
            self._log.service(
                "events are given up: they were not taken in three days, or too many wait",
                target=target,
                events=events,
            )

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
        trouble, now = self._troubles.setdefault(what, Trouble()), time.monotonic()
        if problem and trouble.since is None:
            trouble.since = now
            self._log.service(begins, problem=problem)
        elif not problem and trouble.since is not None:
            self._log.service(ends, seconds=round(now - trouble.since, 1))
            trouble.since = None


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one transaction writes."""

    batch: Batch
    admitted: Mapping[str, int]
    numbers: dict[str, int]
    """That of the last message of each ring."""
    positions: list[int]
    """Behind that message, for each ring."""


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
