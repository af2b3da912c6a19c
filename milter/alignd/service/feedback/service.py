"""Runs `alignd feedback --record`: follows the log, and records what receivers answered.

It has no part in mail: what it reads is written already, and what it writes is the ledger's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from math import floor
from pathlib import Path

from alignd.config.domain_lists import SuffixList
from alignd.config.whole_file import lock_beside
from alignd.feedback.join import Join
from alignd.feedback.outbox import Outbox
from alignd.feedback.reading import Reading
from alignd.feedback.source import JournalSource, open_source
from alignd.feedback.state import State, StateError, load_any, save
from alignd.service.feedback.recorder import Ledger, Recorder, new_source
from alignd.service.processes.notification import ServiceManager, Watchdog
from alignd.service.processes.trouble import Trouble
from alignd.telemetry.log import MessageLog

_PAUSE = 0.5
"""Seconds until a log is looked at again."""
_SAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class FeedbackSetup:
    """What is read, and where it goes."""

    log: Path | None
    """The file; None for the journal."""
    state: Path
    ledger: Ledger
    relay: str
    """Its name in the ledger."""
    since: float | None = None
    """Where nothing was read yet: replies from then on count; None for those from now on."""


class FeedbackService:
    """The process."""

    def __init__(
        self, setup: FeedbackSetup, log: MessageLog, environment: Mapping[str, str]
    ) -> None:
        """Open the log.

        Raises:
            StateError: the file of the state is none, or another process has it.
            OSError: the log or the state cannot be read.
        """
        self._log = log
        self._path = setup.state
        self._lock = _lock(setup.state)  # until the process ends
        self._state = state = _state_of(setup)
        outbox = state.outbox = state.outbox or Outbox(new_source())
        self._trouble = Trouble(
            log, "the place in the log is not kept", "the place in the log is kept again"
        )
        self._recorder = Recorder(outbox, setup.ledger, setup.relay, log, self._saved)
        self._source = open_source(setup.log, state, state.begun, datetime.now, follow=True)
        self._manager = ServiceManager()
        self._watchdog = Watchdog(self._manager, lambda: True, environment)
        self._is_stopped = False
        self._ends = 0

    def run(self) -> int:
        """Follow until TERM or INT; the result is the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with closing(self._source):
            reading = Reading(
                self._source, self._state, self._state.begun, Join(SuffixList()), time.time
            )
            self._saved()  # since when replies count, whatever comes now
            reading.learn(lambda: self._is_stopped)
            self._log.service(
                "replies are followed", log=self._state.log or "journal", known=reading.entries
            )
            self._manager.ready()
            self._watchdog.begin()
            self._follow(reading)
            self._manager.stopping()
            self._recorder.end()
            self._saved()
        self._log.service("replies are followed no longer")
        self._log.close()
        return os.EX_OK

    def _follow(self, reading: Reading) -> None:
        due = time.monotonic() + _SAVE_SECONDS
        while not self._is_stopped and (found := reading.next(_PAUSE)) is not None:
            for each in found:
                self._recorder.take(each, time.time())
            self._recorder.work(time.monotonic())
            if time.monotonic() >= due:
                self._saved()
                due = time.monotonic() + _SAVE_SECONDS
            self._tell_of_journalctl()
            self._manager.tell_untold()
            self._watchdog.feed()

    def _saved(self) -> bool:
        """Write the state; False if that is not possible."""
        try:
            save(self._path, self._state)
        except OSError as error:
            self._trouble.look(error.strerror or type(error).__name__)
            return False
        self._trouble.look("")
        return True

    def _tell_of_journalctl(self) -> None:
        source = self._source
        if isinstance(source, JournalSource) and source.ends > self._ends:
            self._ends = source.ends
            self._log.once_a_minute(
                "journalctl has ended: it is started again", status=source.exit_status or 0
            )

    def _stop(self, _number: int, _frame: object) -> None:
        self._is_stopped = True


def _lock(state: Path) -> int:
    """Keep others from the *state*: two that record by it would count each reply twice."""
    try:
        return lock_beside(state)
    except BlockingIOError as error:
        raise StateError(f"{state}: another process records with this state") from error


def _state_of(setup: FeedbackSetup) -> State:
    """The state as it was left; what waits for the ledger is kept where it was of another log."""
    name = "" if setup.log is None else str(setup.log.absolute())
    state = load_any(setup.state, name)
    if state.log != name:
        state = State(name, outbox=state.outbox)
    if state.is_new and state.begun is None:
        # What was before may be in the ledger already, if the state was lost.
        state.begun = floor(time.time()) if setup.since is None else setup.since
    if state.begun is not None:  # a clock may have been set back since
        state.begun = min(state.begun, floor(time.time()))
    return state
