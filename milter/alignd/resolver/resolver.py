"""DNS for messages: from memory where it can, and for each message one budget of time.

What DNS says is mapped on purpose: NXDOMAIN and no data are "no such record"; silence, SERVFAIL,
REFUSED and other refusals of all nameservers, and answers that make no sense (CNAME loops) are
failures. A failure is answered by the last known good answer while that is not too old, else it
is unknown. It never becomes "absent".
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Protocol

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from alignd.config.option_types import Nameserver
from alignd.config.settings import Dns
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.breaker import CircuitBreaker
from alignd.resolver.cache import Archive, Memory, Question, Remembered
from alignd.resolver.client import Silence, ask
from alignd.resolver.single_flight import SingleFlight
from alignd.resolver.wire import Heard, read_response, to_name, to_rdtype

MAX_NEGATIVE_TTL = 300.0
"""Seconds that the absence of a record is kept: the record may be what we asked for."""
_DNS_SHARE = 0.9
"""Of the budget: the rest is for waking up late on a busy machine, and for the decision."""
_TIMEOUT = LookupFailed("timeout")
_TRIES = 3  # the first may have to go far, the others are known
_SOMETHING = (dns.name.root, dns.rdatatype.NS)  # what a trial asks


class ResolverError(RuntimeError):
    """There is no nameserver to ask; the message says where one can be named."""


class QueryResult(Enum):
    """What came of a question to the nameservers."""

    ANSWERED = "answered"
    NO_DATA = "no-data"
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    FAILED = "failed"
    """Any other trouble: no route, an answer that makes no sense, ..."""


class Meter(Protocol):
    """Who counts what happens to questions; told from any thread, and while a message waits."""

    def asked(self, record_type: RecordType, result: QueryResult) -> None:
        """Nameservers were asked."""
        ...

    def remembered(self) -> None:
        """Memory had a fresh answer."""
        ...

    def used_last_known(self) -> None:
        """There was no answer, and the last known one was used."""
        ...


class Unmetered:
    """A Meter that counts nothing, where nobody would read it."""

    def asked(self, record_type: RecordType, result: QueryResult) -> None:
        """Nameservers were asked."""

    def remembered(self) -> None:
        """Memory had a fresh answer."""

    def used_last_known(self) -> None:
        """The last known answer was used."""


def nameservers_of(settings: Dns) -> tuple[Nameserver, ...]:
    """The nameservers of *settings*, or the system's.

    Raises:
        ResolverError: the system names none.
    """
    if settings.nameservers:
        return settings.nameservers
    try:
        system = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration as error:
        problem = f"no nameserver in /etc/resolv.conf ({error}); set dns.nameservers"
        raise ResolverError(problem) from error
    return tuple(Nameserver(str(address)) for address in system.nameservers)


def response_time(nameserver: Nameserver, seconds: float) -> float | LookupFailed:
    """How long *nameserver* takes for an answer that it knows; it has *seconds* for each try."""
    times = []
    for _ in range(_TRIES):
        asked = time.monotonic()
        response = ask(*_SOMETHING, (nameserver,), seconds)
        if isinstance(response, Silence):
            return _TIMEOUT
        if isinstance(response, LookupFailed):
            return response
        times.append(time.monotonic() - asked)
    return min(times)


class Resolver:
    """Answers from memory, and asks nameservers; one for the process, safe for threads."""

    def __init__(
        self,
        settings: Dns,
        report: Callable[[str], None],
        archive_path: Path | None = None,
        meter: Meter | None = None,
    ) -> None:
        """*report* is told when DNS goes down and comes back, *meter* of every question.

        Raises:
            ResolverError: there is no nameserver to ask.
            sqlite3.Error: the archive cannot be opened.
        """
        self._settings = settings
        self._budget = _DNS_SHARE * settings.timeout
        self._nameservers = nameservers_of(settings)
        self._memory = Memory(settings.min_ttl, settings.max_ttl, MAX_NEGATIVE_TTL)
        self._archive = Archive(archive_path) if archive_path else None
        self._breaker = CircuitBreaker(self._is_answered, report)
        self._meter = meter or Unmetered()
        self._asking: SingleFlight[Question, Remembered | LookupFailed] = SingleFlight()
        self._to_refresh: queue.SimpleQueue[Question] = queue.SimpleQueue()
        self._refresher: threading.Thread | None = None
        if self._archive:
            self._archive.forget(time.time() - settings.stale)

    @property
    def is_down(self) -> bool:
        """Whether DNS is held for down, and not asked."""
        return self._breaker.is_down

    def for_message(self) -> MessageLookup:
        """A Lookup whose budget starts now."""
        return MessageLookup(self, time.monotonic() + self._budget)

    def learn(self, question: Question) -> None:
        """Ask *question* for the memory, within the budget of a message.

        Who wants to know meanwhile waits for it.
        """
        if not self.is_down and self._memory.failure(question) is None:
            self._ask_once(question, self._budget)

    def fresh_until(self, question: Question) -> float:
        """The Unix time until which memory answers *question*; 0 when it does not."""
        known = self._memory.get(question)
        return known.expires if known else 0.0

    def answer(self, question: Question, seconds: float) -> tuple[Answer | LookupFailed, float]:
        """Answer *question*, waiting for the network for at most *seconds*.

        With the Unix time until which nobody needs to ask again; 0 for an answer of last resort.
        """
        known, now = self._memory.get(question), time.time()
        if known and now < known.expires:
            if now >= known.due:
                self._refresh_ahead(question, known)
            self._meter.remembered()
            return known.answer, known.due
        failure = LookupFailed("DNS is down") if self._breaker.is_down else None
        outcome = failure or self._memory.failure(question) or self._ask_once(question, seconds)
        if isinstance(outcome, Remembered):
            return outcome.answer, outcome.due
        if last_known := self._last_known(question, known, now):
            self._meter.used_last_known()
        return last_known or outcome, 0.0

    def _ask_once(self, question: Question, seconds: float) -> Remembered | LookupFailed:
        """Ask, or wait for what another thread hears that asks the same just now."""
        deadline = time.monotonic() + seconds
        try:
            outcome, is_own = self._asking.run(
                question, lambda: self._ask(question, seconds), seconds
            )
        except TimeoutError:
            return _TIMEOUT
        if is_own or outcome is not _TIMEOUT:
            return outcome
        # The other may have had less time than is left here.
        return self._memory.failure(question) or self._ask(question, deadline - time.monotonic())

    def _ask(self, question: Question, seconds: float) -> Remembered | LookupFailed:
        try:
            name = to_name(question[0])
        except (dns.exception.DNSException, UnicodeError):
            # No name that DNS could carry.
            return self._memory.put(question, Heard(Answer((), exists=False), 0.0), time.time())
        if seconds <= 0:
            return LookupFailed("no time is left for this message")
        asked = time.monotonic()
        response = ask(name, to_rdtype(question[1]), self._nameservers, seconds)
        if isinstance(response, Silence | LookupFailed):
            heard: Heard | LookupFailed | Silence = response
        else:
            heard = read_response(response)
        self._meter.asked(question[1], _result_of(heard))
        if isinstance(heard, Silence):
            # Of a question that had little time left, silence says little.
            if seconds >= self._settings.timeout / 2:
                self._breaker.met_silence(asked)
                self._memory.put_failure(question, _TIMEOUT)
            return _TIMEOUT
        self._breaker.heard()
        if isinstance(heard, LookupFailed):
            self._memory.put_failure(question, heard)
            return heard
        now = time.time()
        if self._archive and not isinstance(response, Silence | LookupFailed):
            self._archive.put(question, response.to_wire(), now)
        return self._memory.put(question, heard, now)

    def _last_known(
        self, question: Question, known: Remembered | None, now: float
    ) -> Answer | None:
        oldest = now - self._settings.stale
        if known and known.heard > oldest:
            return known.answer
        return self._archive.get(question, oldest) if self._archive else None

    def _refresh_ahead(self, question: Question, known: Remembered) -> None:
        """Have an answer that is in use asked again before it expires, so that nobody waits."""
        if known.refreshing:
            return
        known.refreshing = True
        if self._refresher is None:
            self._refresher = threading.Thread(target=self._refresh, name="dns", daemon=True)
            self._refresher.start()
        self._to_refresh.put(question)

    def _refresh(self) -> None:
        while True:
            question = self._to_refresh.get()
            if not self._breaker.is_down:
                self._ask(question, self._settings.timeout)

    def _is_answered(self) -> bool:
        response = ask(*_SOMETHING, self._nameservers, self._settings.timeout)
        return not isinstance(response, Silence)


class MessageLookup:
    """Answers for one message: each question asked once, all within one budget."""

    def __init__(self, resolver: Resolver, deadline: float) -> None:
        self._resolver = resolver
        self._deadline = deadline
        self.good_until = math.inf
        """Unix time: what was answered so far holds until then, and nobody needs to ask again."""
        self._known: dict[Question, Answer | LookupFailed] = {}

    def look_up(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        """Answer from memory or the network; a failure holds for the whole message."""
        question = (name.lower(), record_type)
        if question not in self._known:
            left = max(0.0, self._deadline - time.monotonic())
            self._known[question], until = self._resolver.answer(question, left)
            self.good_until = min(self.good_until, until)
        return self._known[question]


def _result_of(heard: Heard | LookupFailed | Silence) -> QueryResult:
    match heard:
        case Silence():
            return QueryResult.TIMEOUT
        case LookupFailed(reason):
            refusals = {"SERVFAIL": QueryResult.SERVFAIL, "REFUSED": QueryResult.REFUSED}
            return refusals.get(reason, QueryResult.FAILED)
        case Heard(answer):
            present = QueryResult.ANSWERED if answer.records else QueryResult.NO_DATA
            return present if answer.exists else QueryResult.NXDOMAIN
