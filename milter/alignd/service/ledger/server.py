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

from alignd.ledger.batch import Batch
from alignd.ledger.database import LedgerError, problem_of
from alignd.ledger.fleet.outbox import Waiting
from alignd.ledger.fleet.shipper import ALIVE_SECONDS
from alignd.ledger.migration import SchemaError
from alignd.ledger.pause import Pause
from alignd.ledger.ring import Records, RingReader
from alignd.ledger.spool import Spool, SpoolError
from alignd.ledger.tally import Tally
from alignd.service.ledger.place import LedgerOptions
from alignd.service.ledger.tasks import Task, Tasks
from alignd.service.processes.signals import PendingSignals
from alignd.service.processes.trouble import Trouble
from alignd.telemetry import words
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import LedgerLoss, LedgerState

_LOOK_SECONDS = 0.25
"""How often the rings are looked at. A ring holds many seconds of mail."""
_MUCH = 0.2
"""Of a ring: what is less is read when it is written. The more is read at once, the less each
message costs."""
_WRITE_SECONDS, _MOST_WRITE_SECONDS = 1.0, 10.0  # from the end of one write to the next
_WRITE_SHARE = 0.01
"""Of a core, that writing takes at most: a batch of 1,000 domains takes 40 to 70 ms, and has as
many rows after ten seconds as after one."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two attempts to write
_FILLING = 0.4  # of a ring: from then on it is written at once
_HALF_FULL = 0.5  # of a ring: from then on its records wait in this process alone
_STALL_SECONDS = 10.0
"""A disk that has not done something for so long stalls."""
_LAST_SECONDS = 2.5  # for what waits to be written at the end; then the supervisor kills it
_OTHERS_SECONDS = 0.5
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
        server.collect(_MUCH)
        server.show_state()
        poll.poll(_LOOK_SECONDS * 1000)
        signals.clear_wakeup()
    server.end()


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
        self._is_due = threading.Event()
        """Set when what waits is to be written now."""
        self._threads: list[threading.Thread] = []
        self._file_problem = ""
        self._step_began: float | None = None
        """The monotonic time at which the writer began to wait for the disk."""
        self._file_trouble = Trouble(log, "ledger is not written", "ledger is written again")
        self._alive_at = -ALIVE_SECONDS
        self._waiting = Waiting(0, 0.0)
        self._tasks = Tasks(options, metrics, log)

    def start(self) -> None:
        self.begin("ledger writer", self._write_until_the_end)
        self._tasks.open_window(self.begin)

    def collect(self, least: float = 0.0) -> None:
        """Read what was said since the last call, where it fills so much of a ring at *least*."""
        with self._lock:
            if self._tally is None:
                return
            for reader in self._readers:
                if reader.unread >= least:
                    self._add(self._tally, reader.source, reader.read())
                if reader.fullness > _FILLING:
                    self._is_due.set()
                if reader.fullness > _HALF_FULL:
                    # The file is away. Rather than losing what comes, it waits here.
                    reader.free(reader.position)
            self._count_losses(self._tally)

    def _add(self, tally: Tally, source: str, records: Records) -> None:
        try:
            tally.add(source, records)
        except Exception as error:  # a bug: the next messages are other ones
            tally.malformed += len(records)
            self._note_failure(error)
        if records.is_damaged:
            # How many messages it was, the next number of this ring tells.
            self._log.once_a_minute("ledger skips messages: memory was damaged")

    def show_state(self) -> None:
        """Set the metrics, and log when something begins to fail and when it ends."""
        file_problem = self._file_problem or self._stall()
        self._file_trouble.look(file_problem)
        self._tasks.show_state()
        if file_problem:
            state = LedgerState.FAILING
        elif self._tally is None:
            state = LedgerState.OPENING
        else:
            is_waiting = bool(self._tasks.database_problem)
            state = LedgerState.WAITING if is_waiting else LedgerState.GOOD
        self._metrics.set_ledger(state)
        waiting = self._waiting
        age = max(0.0, time.time() - waiting.since) if waiting.messages else 0.0
        unsaved = sum(reader.unsaved for reader in self._readers)
        self._metrics.set_ledger_waiting(unsaved + waiting.messages, age)

    def end(self) -> None:
        """Write what waits, as far as that is possible in a moment."""
        self._ended.set()  # the last write collects first
        self._is_due.set()
        writer, *others = self._threads
        writer.join(_LAST_SECONDS)
        # What others do may end anywhere: it is whole in a database, or done again.
        deadline = time.monotonic() + _OTHERS_SECONDS
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))

    def begin(self, name: str, task: Task) -> None:
        """Run *task* in a thread until the end, again after a pause if it raises."""

        def run() -> None:
            pause = Pause(_FIRST_PAUSE, _LONGEST_PAUSE)
            while not self._ended.is_set():
                try:
                    task(self._ended)
                except Exception as error:  # a bug: the others go on, and so does this one
                    self._note_failure(error)
                    self._ended.wait(pause.after_failure())

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _write_until_the_end(self, ended: threading.Event) -> None:
        spool: Spool | None = None
        pause, is_last = Pause(_FIRST_PAUSE, _LONGEST_PAUSE), False
        while not is_last:
            is_last = ended.is_set()  # what has failed is tried once more at the end
            self._is_due.clear()
            began = time.thread_time()
            try:
                with self._step():
                    spool = spool or self._opened()
                    self._write(spool)
            except Exception as error:
                self._file_problem = self._told(error)
                if spool is not None:
                    self._close(spool)
                    spool = None
                ended.wait(pause.after_failure())
            else:
                self._file_problem = ""
                pause.end()
                if not ended.is_set():
                    self._is_due.wait(_rest(time.thread_time() - began))
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
                self._tasks.start(spool, self.begin)
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
        self._metrics.task_failed(words.Task.LEDGER)
        self._log.once_a_minute("ledger goes on after", error=described(error))

    def _count_losses(self, tally: Tally) -> None:
        for why, number in (
            (LedgerLoss.PROCESS_ENDED, tally.gaps),
            (LedgerLoss.MALFORMED, tally.malformed),
            (LedgerLoss.MEMORY_FULL, tally.overflowed),
        ):
            if number:
                self._metrics.ledger_lost(why, number)
        tally.gaps = tally.malformed = tally.overflowed = 0


def _rest(took: float) -> float:
    """The seconds until the next write, after one that took so much processor time."""
    return min(max(took / _WRITE_SHARE, _WRITE_SECONDS), _MOST_WRITE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one transaction writes."""

    batch: Batch
    admitted: Mapping[str, int]
    numbers: dict[str, int]
    """That of the last message of each ring."""
    positions: list[int]
    """Behind that message, for each ring."""
