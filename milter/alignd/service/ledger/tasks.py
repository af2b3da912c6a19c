"""What the process of the ledger does besides counting, each in a thread of its own.

It sends counts to the database that relays share, deletes what is too old, looks at author
domains, tells of events, counts what receivers said, and answers who may not read the file.
Whatever becomes of it, counting goes on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignd.config.endpoint import UnixSocket
from alignd.judgement.review import make_reviewer
from alignd.ledger.database import LedgerError, open_database, problem_of
from alignd.ledger.event import Event, EventKind
from alignd.ledger.fleet.shipper import THIN_SECONDS, Shipper
from alignd.ledger.migration import SchemaError
from alignd.ledger.notify.assembly import make_tellers
from alignd.ledger.notify.teller import GIVEN_UP, Teller
from alignd.ledger.queries.opening import LedgerDatabase
from alignd.ledger.receivers.growth import Told, growth, told
from alignd.ledger.spool import Spool
from alignd.ledger.thinning import thin_out
from alignd.ledger.watch.assembly import make_watcher
from alignd.ledger.watch.looking import Outcome
from alignd.ledger.watch.watcher import Watcher
from alignd.ledger.window.server import WindowServer
from alignd.service.ledger.place import LedgerOptions
from alignd.service.processes.trouble import Trouble
from alignd.service.setup import Leg
from alignd.service.unix_listener import listen_at
from alignd.telemetry import words
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import LedgerLoss, LookResult, TellingResult, WindowResult

_RECEIVERS_SECONDS = 60.0
"""Between two looks at what receivers said, which others write."""
_WINDOW_MODE = 0o660
"""The directory says whose group it is."""
Task = Callable[[threading.Event], None]
"""Works until the event is set. What it raises is a bug; it is called again after a pause."""


class Tasks:
    """Those of one process."""

    def __init__(self, options: LedgerOptions, metrics: ProcessMetrics, log: MessageLog) -> None:
        self._options = options
        self._setup = options.setup
        self._metrics = metrics
        self._log = log
        self._database_trouble = Trouble(
            log, "ledger waits for its database", "ledger is in its database again"
        )
        self._shipper: Shipper | None = None
        self._obstacle = ""
        """Why the database that relays share cannot be used as long as this process lives."""
        self._tellers: tuple[Teller, ...] = ()
        self._troubles: dict[str, Trouble] = {}
        self._watcher: Watcher | None = None
        self._watch_trouble = Trouble(
            log, "author domains are not looked at", "author domains are looked at again"
        )
        self._window: WindowServer | None = None
        self._window_trouble = Trouble(log, "ledger has no window", "ledger has its window again")

    def open_window(self, begin: Callable[[str, Task], None]) -> None:
        """Have others ask from now on, whether the file can be opened or not."""
        where, place = self._setup.configuration.ledger.window, self._options.place
        if not isinstance(where, UnixSocket) or self._setup.leg is not Leg.OUTBOUND:
            return  # what comes back has a ledger of its own, of which no page tells
        path = where.path
        self._window = WindowServer(
            f"sqlite:///{place.file}",
            lambda: listen_at(path, _WINDOW_MODE),
            lambda result: self._metrics.ledger_asked(WindowResult(result)),
            self._note_failure,
        )
        begin("ledger window", self._window.run)

    def start(self, spool: Spool, begin: Callable[[str, Task], None]) -> None:
        """Start all that there are; *spool* is the file, which is there."""
        try:
            for name, task in self._wanted(spool):
                begin(f"ledger {name}", task)
        except LedgerError as error:  # nothing was connected to yet: no library, or no URL
            self._obstacle = problem_of(error)

    @property
    def database_problem(self) -> str:
        """Why the database that relays share takes no counts; empty where it does, or is none."""
        return self._shipper.problem if self._shipper else self._obstacle

    def show_state(self) -> None:
        """Set the metrics, and log when something begins to fail and when it ends."""
        if self._shipper:
            self._tell_of_unreadable(self._shipper)
        self._database_trouble.look(self.database_problem)
        for teller in self._tellers:
            self._troubles[teller.name].look(teller.problem)
        if self._watcher:
            self._watch_trouble.look(self._watcher.problem)
        self._metrics.set_ledger_untold(sum(each.waiting for each in self._tellers))
        if self._window:
            self._window_trouble.look(self._window.problem)

    def _wanted(self, spool: Spool) -> Iterator[tuple[str, Task]]:
        configuration, place = self._setup.configuration, self._options.place
        yield "thinning", self._thin_out_until_the_end
        if place.shared_url:
            self._shipper = Shipper(
                spool.engine,
                open_database(place.shared_url),
                self._options.writer,
                configuration.ledger.keep,
                time.time,
                self._metrics.ledger_event,
            )
            yield "shipper", self._shipper.run
        if self._setup.leg is not Leg.OUTBOUND:
            return  # its author domains are strangers': there is nothing to look at, or to tell
        yield "receivers", self._count_receivers_until_the_end
        version = self._options.writer.version
        tellers = make_tellers(
            configuration.notify, place.url, version, os.environ, self._count_told
        )
        self._troubles = {
            each.name: Trouble(
                self._log, "events are not taken", "events are taken again", target=each.name
            )
            for each in tellers
        }
        self._tellers = tellers
        for teller in tellers:
            yield teller.name, teller.run
        if configuration.ledger.watch:
            yield "watcher", self._watch_until_the_end

    def _count_receivers_until_the_end(self, ended: threading.Event) -> None:
        """Count what receivers said from now on; what is there already was said before."""
        leg = self._options.writer.leg
        ledger = LedgerDatabase(self._options.place.url)
        before: Told | None = None
        while not ended.is_set():
            try:
                with ledger.connected() as connection:
                    now = told(connection, leg, time.time())
            except (LedgerError, SchemaError):
                pass  # who writes there tells of it, and this counts it later
            else:
                self._show_receivers(before, now)
                before = now
            ended.wait(_RECEIVERS_SECONDS)

    def _show_receivers(self, before: Told | None, now: Told) -> None:
        self._metrics.set_reports(now.reports, now.newest)
        if before is None:
            return
        more = growth(before, now)
        for kind, messages in more.replies.items():
            self._metrics.receivers_replied(kind, messages)
        for (origin, result), messages in more.reported.items():
            self._metrics.receivers_reported(origin, result, messages)
        self._metrics.ledger_event(EventKind.REJECTED.value, more.events)

    def _watch_until_the_end(self, ended: threading.Event) -> None:
        setup = self._setup
        reviewer = make_reviewer(
            setup.configuration,
            setup.signer,
            time.time,
            processor_time=time.thread_time,
            directory=setup.directory,
        )
        self._watcher = make_watcher(
            open_database(self._options.place.url),
            reviewer,
            setup.nameservers,
            self._options.writer,
            _WatchObserver(self._metrics, self._log),
            self._metrics,
        )
        self._watcher.run(ended)

    def _note_failure(self, error: Exception) -> None:
        self._metrics.task_failed(words.Task.LEDGER)
        self._log.once_a_minute("ledger goes on after", error=described(error))

    def _thin_out_until_the_end(self, ended: threading.Event) -> None:
        keep = self._setup.configuration.ledger.keep
        engine = open_database(f"sqlite:///{self._options.place.file}")
        while not ended.is_set():
            try:
                thin_out(engine, keep, time.time())
            except LedgerError as error:  # the writer tells of it, if it lasts
                self._log.once_a_minute("ledger is not thinned out", problem=problem_of(error))
            ended.wait(THIN_SECONDS)

    def _tell_of_unreadable(self, shipper: Shipper) -> None:
        while shipper.unreadable:
            batch = shipper.unreadable.pop(0)
            self._metrics.ledger_lost(LedgerLoss.MALFORMED, batch.messages)
            self._log.service("ledger has dropped counts", problem=str(batch))

    def _count_told(self, target: str, result: str, events: int) -> None:
        self._metrics.ledger_told(TellingResult(result), events)
        if result == GIVEN_UP:
            self._log.service(
                "events are given up: they were not taken in three days, or too many wait",
                target=target,
                events=events,
            )


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
        self.metrics.task_failed(words.Task.LEDGER)
        self.log.once_a_minute("ledger goes on after", problem=problem, error=described(error))

    def report(self, text: str) -> None:
        self.log.service("DNS of the looks of the ledger", said=text)
