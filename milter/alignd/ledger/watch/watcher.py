"""The thread that looks at author domains, as often as each is due and as DNS may be asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Engine

from alignd.ledger.batch import DomainKey
from alignd.ledger.database import LedgerError, problem_of
from alignd.ledger.event import Event
from alignd.ledger.fleet.leadership import Leadership
from alignd.ledger.migration import SchemaError, require_schema
from alignd.ledger.pause import Pause
from alignd.ledger.watch.look import Looker
from alignd.ledger.watch.looking import (
    Look,
    Looked,
    Outcome,
    Pace,
    State,
    Told,
    after_look,
    latest_look,
)
from alignd.ledger.watch.relays import note_silence
from alignd.ledger.watch.states import Due, due_domains, due_since, postpone, record
from alignd.ledger.writer import Writer
from alignd.mail.domain import Domain

_ROUND_SECONDS = 2.0
"""How often the one that looks asks which domains are due, and whether it is that still."""
_CLAIM_SECONDS = 20.0
"""How often the others ask whether they are the one by now: each time costs a connection."""
_BAD_SECONDS = 30.0  # between two rounds while DNS is bad
_MOST = 20  # domains in a round
_RELAYS_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds, while the database is away
_REMEMBERED = 20  # looks at different domains
_FEW = 5  # of which too little can be said


class Observer(Protocol):
    """Is told what the watcher does."""

    def looked(self, outcome: Outcome) -> None:
        """A look is over."""
        ...

    def late(self, seconds: float) -> None:
        """For so long the domain has been due that is looked at next."""
        ...

    def happened(self, event: Event) -> None:
        """An event was written."""
        ...

    def failed(self, problem: str, error: Exception) -> None:
        """A look has failed: a bug."""
        ...

    def report(self, text: str) -> None:
        """DNS went down, or is back."""
        ...


class DnsHealth:
    """Tells domains whose DNS is silent from a relay whose DNS is: then most of them are."""

    def __init__(self) -> None:
        self._unknown: deque[tuple[str, bool]] = deque(maxlen=_REMEMBERED)

    def note(self, domain: str, *, is_unknown: bool) -> None:
        for each in [each for each in self._unknown if each[0] == domain]:
            self._unknown.remove(each)
        self._unknown.append((domain, is_unknown))

    @property
    def is_bad(self) -> bool:
        unknown = sum(is_unknown for _, is_unknown in self._unknown)
        return len(self._unknown) >= _FEW and 2 * unknown > len(self._unknown)


@dataclass(frozen=True, slots=True)
class Clocks:
    """What the watcher knows of time and chance."""

    now: Callable[[], float]
    """Unix time."""
    monotonic: Callable[[], float]
    draw: Callable[[], float]
    """A random number from 0 to 1."""


class Watcher:
    """Looks at what is due for as long as the service runs, and only while it is the leader."""

    def __init__(
        self,
        engine: Engine,
        leadership: Leadership,
        looker: Looker,
        pace: Pace,
        writer: Writer,
        observer: Observer,
        clocks: Clocks,
    ) -> None:
        self._engine = engine
        self._leadership = leadership
        self._looker = looker
        self._pace = pace
        self._writer = writer
        self._observer = observer
        self._clocks = clocks
        self._health = DnsHealth()
        self._has_schema = False
        self._relays_at = -_RELAYS_SECONDS
        self.problem = ""
        """Why nobody is looked at; empty when somebody is, or when another relay does it."""

    def run(self, ended: threading.Event) -> None:
        """Look until the end."""
        pause = Pause(_FIRST_PAUSE, _LONGEST_PAUSE)
        try:
            while not ended.is_set():
                try:
                    rest = self.work(ended)
                except (LedgerError, SchemaError) as error:
                    self.problem = problem_of(error)
                    ended.wait(pause.after_failure())
                else:
                    self.problem = ""
                    pause.end()
                    ended.wait(rest)
        finally:
            self._leadership.give_up()

    def work(self, ended: threading.Event) -> float:
        """Look at some of what is due, if this relay is the one; the seconds to rest then.

        Raises:
            SchemaError: the ledger is not one that this alignd can use now.
            LedgerError: the database cannot be used now.
        """
        if not self._leadership.is_held():
            self._observer.late(0.0)  # the one that looks says how late it is
            return _CLAIM_SECONDS
        if not self._has_schema:
            with self._engine.connect() as connection:
                require_schema(connection)
            self._has_schema = True
        self._watch_relays()
        due = self._due()
        for each in due:
            self._look_at(each)
            if ended.wait(self._looker.questions.take_seconds()):
                break
        if self._health.is_bad:
            return _BAD_SECONDS
        return 0.0 if len(due) == _MOST else _ROUND_SECONDS

    def _due(self) -> list[Due]:
        now, leg = self._clocks.now(), self._writer.leg
        with self._engine.connect() as connection:
            late = now - due_since(connection, leg, now)
            due = due_domains(connection, leg, now, latest_look(now, self._pace), _MOST)
        self._observer.late(late)
        return due

    def _look_at(self, due: Due) -> None:
        key = due.key
        if not self._looker.knows(key.tenant):  # of another relay, or there no more
            self._postpone(key)
            return
        try:
            look = self._look(due)
        except Exception as error:  # a bug: the others are looked at all the same
            self._observer.looked(Outcome.FAILED)
            self._observer.failed(f"{key.domain} could not be looked at", error)
            self._postpone(key)
            return
        self._health.note(key.domain, is_unknown=look.is_unknown)
        if look.is_unknown and self._health.is_bad:
            # Nothing is wrong with the domain. What is wrong here, mail tells in the log.
            self._observer.looked(Outcome.UNKNOWN)
            self._postpone(key)
            return
        self._record(key, look)

    def _look(self, due: Due) -> Look:
        tenant, domain = due.key.tenant, Domain.parse(due.key.domain)
        if due.is_second:
            finding = self._looker.look_past_caches(tenant, domain)
            look = Look(self._clocks.now(), finding, is_authoritative=True)
            if not look.is_unknown:
                return look
        finding = self._looker.look(tenant, domain)
        return Look(self._clocks.now(), finding)

    def _record(self, key: DomainKey, look: Look) -> None:
        judge = partial(_judged, look, self._pace, self._clocks.draw())
        with self._engine.begin() as connection:
            recorded = record(connection, key, self._writer, look.at, judge)
        if recorded is None:
            return
        looked, events = recorded
        self._observer.looked(looked.outcome)
        for event in events:
            self._observer.happened(event)

    def _postpone(self, key: DomainKey) -> None:
        look_at = self._clocks.now() + self._pace.watch
        with self._engine.begin() as connection:
            postpone(connection, key, self._writer.leg, look_at)

    def _watch_relays(self) -> None:
        if self._clocks.monotonic() - self._relays_at < _RELAYS_SECONDS:
            return
        with self._engine.begin() as connection:
            events = note_silence(connection, self._writer, self._clocks.now())
        self._relays_at = self._clocks.monotonic()
        for event in events:
            self._observer.happened(event)


def _judged(look: Look, pace: Pace, spread: float, state: State, told: Sequence[Told]) -> Looked:
    return after_look(state, look, told, pace, spread)
