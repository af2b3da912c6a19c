"""DNS for messages: from the cache where possible, and within one time budget for each message.

NXDOMAIN and no data mean "no such record". Silence, SERVFAIL, REFUSED and other refusals of all
nameservers, and answers that make no sense (CNAME loops) are failures. A failure is answered by
the last known good answer while that is not too old, else it is unknown: never "absent".
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
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.breaker import CircuitBreaker
from alignd.resolver.cache import AnswerCache, Archive, CachedAnswer, Question
from alignd.resolver.client import Silence, ask
from alignd.resolver.single_flight import SingleFlight
from alignd.resolver.wire import ReceivedAnswer, read_response, to_name, to_rdtype

MAX_NEGATIVE_TTL = 300.0
"""Seconds that the absence of a record is cached: its owner may have been asked to publish it."""
_DNS_SHARE = 0.9
"""Of dns.timeout: the rest is for waking up late on a busy machine, and for the decision."""
_TIMEOUT = LookupFailed("timeout")
_TRIES = 3  # the nameserver may have to ask others for the first, and has the rest in its cache
_PROBE = (dns.name.root, dns.rdatatype.NS)  # what every recursive nameserver can answer


class ResolverError(RuntimeError):
    """There is no nameserver to ask; the message says where to configure one."""


class QueryResult(Enum):
    """The result of a query, as a label of the metrics."""

    ANSWERED = "answered"
    NO_DATA = "no-data"
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    FAILED = "failed"
    """Anything else: no route, FORMERR, a CNAME loop, ..."""


class Meter(Protocol):
    """Counts queries and cache hits; called from any thread, and while a message waits."""

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        """Count a query to the nameservers."""
        ...

    def hit_cache(self) -> None:
        """Count a question answered from the cache, with a fresh answer."""
        ...

    def used_last_known(self) -> None:
        """Count a question that DNS failed to answer, answered with the last known answer."""
        ...


class _NoMeter:
    """A Meter for the command line, where nobody reads it."""

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        pass

    def hit_cache(self) -> None:
        pass

    def used_last_known(self) -> None:
        pass


def nameservers_of(settings: DnsOptions) -> tuple[Nameserver, ...]:
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
    """The seconds that *nameserver* takes for a cached answer; each try may take *seconds*."""
    times = []
    for _ in range(_TRIES):
        asked = time.monotonic()
        response = ask(*_PROBE, (nameserver,), seconds)
        if isinstance(response, Silence):
            return _TIMEOUT
        if isinstance(response, LookupFailed):
            return response
        times.append(time.monotonic() - asked)
    return min(times)


class Resolver:
    """Answers questions from the cache or the nameservers; one in a process, safe for threads."""

    def __init__(
        self,
        settings: DnsOptions,
        report: Callable[[str], None],
        archive_path: Path | None = None,
        meter: Meter | None = None,
    ) -> None:
        """*report* is called when DNS goes down and when it is back.

        Raises:
            ResolverError: there is no nameserver to ask.
            sqlite3.Error: the archive cannot be opened.
        """
        self._settings = settings
        self._budget = _DNS_SHARE * settings.timeout
        self._nameservers = nameservers_of(settings)
        self._cache = AnswerCache(settings.min_ttl, settings.max_ttl, MAX_NEGATIVE_TTL)
        self._archive = Archive(archive_path) if archive_path else None
        self._breaker = CircuitBreaker(self._probe, report)
        self._meter = meter or _NoMeter()
        self._single_flight: SingleFlight[Question, CachedAnswer | LookupFailed] = SingleFlight()
        self._to_refresh: queue.SimpleQueue[Question] = queue.SimpleQueue()
        self._refresher: threading.Thread | None = None
        if self._archive:
            self._archive.forget(time.time() - settings.stale)

    @property
    def is_down(self) -> bool:
        """Whether the circuit breaker is open, so that no nameserver is asked."""
        return self._breaker.is_open

    def for_message(self) -> MessageLookup:
        """Make the Lookup of one message; its budget starts now."""
        return MessageLookup(self, time.monotonic() + self._budget)

    def prefetch(self, question: Question) -> None:
        """Ask *question* to fill the cache, within the budget of a message.

        A message that asks the same meanwhile waits for this answer.
        """
        if not self.is_down and self._cache.failure(question) is None:
            self._ask_once(question, self._budget)

    def fresh_until(self, question: Question) -> float:
        """The Unix time until which the cache answers *question*; 0 when it does not."""
        known = self._cache.get(question)
        return known.expires if known else 0.0

    def answer(self, question: Question, seconds: float) -> tuple[Answer | LookupFailed, float]:
        """Answer *question*, waiting for the network for at most *seconds*.

        Returns:
            The answer, and the Unix time until which it may be reused; 0 for the last known
            answer and for a failure.
        """
        known, now = self._cache.get(question), time.time()
        if known and now < known.expires:
            if now >= known.due:
                self._refresh_ahead(question, known)
            self._meter.hit_cache()
            return known.answer, known.due
        failure = LookupFailed("DNS is down") if self._breaker.is_open else None
        outcome = failure or self._cache.failure(question) or self._ask_once(question, seconds)
        if isinstance(outcome, CachedAnswer):
            return outcome.answer, outcome.due
        if last_known := self._last_known(question, known, now):
            self._meter.used_last_known()
        return last_known or outcome, 0.0

    def _ask_once(self, question: Question, seconds: float) -> CachedAnswer | LookupFailed:
        """Ask, or wait for the answer of another thread that is asking the same."""
        deadline = time.monotonic() + seconds
        try:
            outcome, is_own = self._single_flight.run(
                question, lambda: self._ask(question, seconds), seconds
            )
        except TimeoutError:
            return _TIMEOUT
        if is_own or outcome is not _TIMEOUT:
            return outcome
        # The other thread may have had less time than is left here.
        return self._cache.failure(question) or self._ask(question, deadline - time.monotonic())

    def _ask(self, question: Question, seconds: float) -> CachedAnswer | LookupFailed:
        try:
            name = to_name(question[0])
        except (dns.exception.DNSException, UnicodeError):
            # A name that DNS cannot carry does not exist.
            absence = ReceivedAnswer(Answer((), exists=False), 0.0)
            return self._cache.put(question, absence, time.time())
        if seconds <= 0:
            return LookupFailed("no time is left for this message")
        asked = time.monotonic()
        response = ask(name, to_rdtype(question[1]), self._nameservers, seconds)
        if isinstance(response, Silence | LookupFailed):
            outcome: ReceivedAnswer | LookupFailed | Silence = response
        else:
            outcome = read_response(response)
        self._meter.queried(question[1], _result_of(outcome))
        if isinstance(outcome, Silence):
            # Of a question that had little time left, silence says little.
            if seconds >= self._settings.timeout / 2:
                self._breaker.record_timeout(asked)
                self._cache.put_failure(question, _TIMEOUT)
            return _TIMEOUT
        self._breaker.record_response()
        if isinstance(outcome, LookupFailed):
            self._cache.put_failure(question, outcome)
            return outcome
        now = time.time()
        if self._archive and not isinstance(response, Silence | LookupFailed):
            self._archive.put(question, response.to_wire(), now)
        return self._cache.put(question, outcome, now)

    def _last_known(
        self, question: Question, known: CachedAnswer | None, now: float
    ) -> Answer | None:
        oldest = now - self._settings.stale
        if known and known.received > oldest:
            return known.answer
        return self._archive.get(question, oldest) if self._archive else None

    def _refresh_ahead(self, question: Question, known: CachedAnswer) -> None:
        """Refresh an answer in use before it expires, so that no message waits for it."""
        if known.is_refreshing:
            return
        known.is_refreshing = True
        # Started with the first refresh: an invocation of the command line needs none.
        if self._refresher is None:
            self._refresher = threading.Thread(target=self._refresh, name="dns", daemon=True)
            self._refresher.start()
        self._to_refresh.put(question)

    def _refresh(self) -> None:
        while True:
            question = self._to_refresh.get()
            if not self._breaker.is_open:
                self._ask(question, self._settings.timeout)

    def _probe(self) -> bool:
        response = ask(*_PROBE, self._nameservers, self._settings.timeout)
        return not isinstance(response, Silence)


class MessageLookup:
    """The Lookup of one message: each question is asked once, all within one budget."""

    def __init__(self, resolver: Resolver, deadline: float) -> None:
        self._resolver = resolver
        self._deadline = deadline
        self.good_until = math.inf
        """Unix time: until then, everything that was answered so far may be reused."""
        self._known: dict[Question, Answer | LookupFailed] = {}

    def look_up(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        """Answer *name*; a failure, too, stays the answer for the whole message."""
        question = (name.lower(), record_type)
        if question not in self._known:
            left = max(0.0, self._deadline - time.monotonic())
            self._known[question], until = self._resolver.answer(question, left)
            self.good_until = min(self.good_until, until)
        return self._known[question]


def _result_of(outcome: ReceivedAnswer | LookupFailed | Silence) -> QueryResult:
    match outcome:
        case Silence():
            return QueryResult.TIMEOUT
        case LookupFailed(reason):
            refusals = {"SERVFAIL": QueryResult.SERVFAIL, "REFUSED": QueryResult.REFUSED}
            return refusals.get(reason, QueryResult.FAILED)
        case ReceivedAnswer(answer):
            present = QueryResult.ANSWERED if answer.records else QueryResult.NO_DATA
            return present if answer.exists else QueryResult.NXDOMAIN
