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
from functools import partial
from typing import Protocol

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from alignd.config.nameservers import Nameservers
from alignd.config.option_types import Nameserver
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.breaker import CircuitBreaker
from alignd.resolver.cache import (
    AnswerCache,
    CachedAnswer,
    PrivateQuestion,
    Question,
    octets_of,
)
from alignd.resolver.client import PROBE, Upstream
from alignd.resolver.conversation import NotAsked, Silence
from alignd.resolver.nameserver_states import Condition
from alignd.resolver.single_flight import SingleFlight
from alignd.resolver.wire import (
    ReceivedAnswer,
    append_answer,
    read_response,
    to_name,
    to_rdtype,
    unanswered_alias,
)

MAX_NEGATIVE_TTL = 300.0
"""Seconds that the absence of a record is cached: its owner may have been asked to publish it."""
_DNS_SHARE = 0.9
"""Of dns.timeout: the rest is for waking up late on a busy machine, and for the decision."""
MESSAGE_OCTETS = 128 * 1024
"""Of all answers for one message: of the largest that there can be, and as much again. Those for
mail of large companies take 10,000 or so, and what comes beyond is unknown: it is memory, and
processor time, of whoever owns the author domain."""
_TIMEOUT = LookupFailed("timeout")
_TOO_MUCH = LookupFailed("the answers for this message are too large")
_MAX_ALIASES = 8  # that are followed one by one; most nameservers follow them all
_MAX_TO_REFRESH = 1000  # answers; one that finds no place waits for its next use
_TRIES = 3  # the nameserver may have to ask others for the first, and has the rest in its cache


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


class Archive(Protocol):
    """Keeps answers beyond the process; called from any thread, and never makes one wait."""

    def put(self, question: Question, wire: bytes) -> None:
        """Keep the response *wire*, which has just arrived."""
        ...

    def get(self, question: Question) -> Answer | LookupFailed | None:
        """The last known answer to *question*; None when there is none that is not too old.

        A failure when the archive does not say.
        """
        ...


class _NoMeter:
    """A Meter for the command line, where nobody reads it."""

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        pass

    def hit_cache(self) -> None:
        pass

    def used_last_known(self) -> None:
        pass


def response_time(
    nameserver: Nameserver, seconds: float, *, over_tcp: bool = False
) -> float | LookupFailed:
    """The seconds that *nameserver* takes for a cached answer; each try may take *seconds*."""
    upstream = Upstream(Nameservers((nameserver,), over_tcp=over_tcp), keeps_sockets=False)
    times = []
    for _ in range(_TRIES):
        asked = time.monotonic()
        response = upstream.ask(*PROBE, seconds)
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
        nameservers: Nameservers | tuple[Nameserver, ...],
        report: Callable[[str], None],
        archive: Archive | None = None,
        meter: Meter | None = None,
        *,
        keeps_sockets: bool = False,
    ) -> None:
        """*report* is called when DNS goes down and when it is back, and of what fails in threads.

        One that *keeps_sockets* can ask when the process has no descriptor left for another.
        """
        self._settings = settings
        self._budget = _DNS_SHARE * settings.timeout
        if isinstance(nameservers, tuple):
            nameservers = Nameservers(nameservers)
        self._upstream = Upstream(nameservers, keeps_sockets=keeps_sockets)
        self._cache = AnswerCache(settings.min_ttl, settings.max_ttl, MAX_NEGATIVE_TTL)
        self._report = report
        self._archive = archive
        # Not a method: nothing refers to a resolver but its users, and it goes when they do.
        probe = partial(self._upstream.answers, settings.timeout)
        self._breaker = CircuitBreaker(probe, report)
        self._meter = meter or _NoMeter()
        self._single_flight: SingleFlight[Question, CachedAnswer | LookupFailed] = SingleFlight()
        self._to_refresh: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._refresher: threading.Thread | None = None
        self._has_ended = False

    @property
    def is_down(self) -> bool:
        """Whether the circuit breaker is open, so that no nameserver is asked."""
        return self._breaker.is_open

    def conditions(self) -> dict[Nameserver, Condition]:
        """What became of the last queries to each nameserver in use."""
        return self._upstream.conditions()

    def end(self) -> None:
        """Stop the threads and close the files: no new message will ask.

        Messages in progress are answered as before, but nothing is refreshed.
        """
        self._has_ended = True
        self._breaker.end()
        self._to_refresh.put(None)
        self._upstream.end()

    def use_nameservers(self, nameservers: Nameservers) -> None:
        """Ask these from now on.

        All answers stay known; that others failed, or were silent, says nothing of these.
        """
        self._upstream.use(nameservers)
        self._cache.forget_failures()
        self._breaker.start_afresh()

    def for_message(self) -> MessageLookup:
        """Make the Lookup of one message; its budget starts with its first question."""
        return MessageLookup(self, self._budget)

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
            # A name that DNS cannot carry does not exist. Not cached: it may be of any length.
            now = time.time()
            return CachedAnswer(Answer((), exists=False), now, now + MAX_NEGATIVE_TTL)
        if seconds <= 0:
            return LookupFailed("no time is left for this message")
        asked = time.monotonic()
        response = self._send(name, to_rdtype(question[1]), seconds)
        if isinstance(response, dns.message.Message):
            self._breaker.record_response()
            response = self._complete(response, to_rdtype(question[1]), asked + seconds)
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
        if isinstance(outcome, NotAsked):
            return outcome
        self._breaker.record_response()
        if isinstance(outcome, LookupFailed):
            self._cache.put_failure(question, outcome)
            return outcome
        now = time.time()
        if (archive := self._archive_for(question)) and isinstance(response, dns.message.Message):
            archive.put(question, response.to_wire())
        return self._cache.put(question, outcome, now)

    def _complete(
        self, response: dns.message.Message, record_type: dns.rdatatype.RdataType, deadline: float
    ) -> dns.message.Message | LookupFailed | Silence:
        """Have *response* say what its aliases lead to, where the nameserver did not follow them.

        Without that, what is published would be taken for absent.
        """
        try:
            for _ in range(_MAX_ALIASES):
                target = unanswered_alias(response)
                if target is None:
                    return response
                more = self._send(target, record_type, deadline - time.monotonic())
                if not isinstance(more, dns.message.Message):
                    return more
                append_answer(response, more)
                if not more.answer:  # there is nothing more, whether or not a SOA says so
                    return response
        except dns.exception.DNSException as error:
            return LookupFailed(f"not an answer: {type(error).__name__}")
        return LookupFailed("too many aliases")

    def _last_known(
        self, question: Question, known: CachedAnswer | None, now: float
    ) -> Answer | None:
        oldest = now - self._settings.stale
        if known and known.received > oldest:
            return known.answer
        archive = self._archive_for(question)
        archived = archive.get(question) if archive else None
        return archived if isinstance(archived, Answer) else None

    def _archive_for(self, question: Question) -> Archive | None:
        return None if isinstance(question, PrivateQuestion) else self._archive

    def _refresh_ahead(self, question: Question, known: CachedAnswer) -> None:
        """Refresh an answer in use before it expires, so that no message waits for it."""
        if known.is_refreshing or self._has_ended or self._to_refresh.qsize() >= _MAX_TO_REFRESH:
            return
        # Started with the first refresh: an invocation of the command line needs none.
        if self._refresher is None or not self._refresher.is_alive():
            self._refresher = threading.Thread(target=self._refresh, name="dns", daemon=True)
            try:
                self._refresher.start()
            except RuntimeError:  # no thread left: the next use of the answer tries again
                self._refresher = None
                return
        known.is_refreshing = True
        self._to_refresh.put(question)

    def _refresh(self) -> None:
        while (question := self._to_refresh.get()) is not None:
            if self._breaker.is_open:
                continue
            try:
                self._ask(question, self._settings.timeout)
            except Exception as error:
                # The message that asks when the answer has expired will meet it, too, and say
                # more; the thread has others to refresh.
                self._report(f"DNS answer was not refreshed: {type(error).__name__}")

    def _send(
        self, name: dns.name.Name, record_type: dns.rdatatype.RdataType, seconds: float
    ) -> dns.message.Message | LookupFailed | Silence:
        return self._upstream.ask(name, record_type, seconds)


class MessageLookup:
    """The Lookup of one message: each question is asked once, all within one budget."""

    def __init__(self, resolver: Resolver, seconds: float) -> None:
        """The budget is *seconds* from the first question on: reading the message is not DNS."""
        self._resolver = resolver
        self._seconds = seconds
        self._deadline: float | None = None
        self._octets = 0
        self.good_until = math.inf
        """Unix time: until then, everything that was answered so far may be reused."""
        self._known: dict[Question, Answer | LookupFailed] = {}

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        """Answer *name*; a failure, too, stays the answer for the whole message."""
        question: Question = (name.lower(), record_type)
        if is_private:
            question = PrivateQuestion(question)
        known = self._known.get(question)
        return known or self._ask(question)

    def _ask(self, question: Question) -> Answer | LookupFailed:
        if self._octets > MESSAGE_OCTETS:
            self.good_until = 0.0
            return _TOO_MUCH
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._seconds
        answer, until = self._resolver.answer(question, max(0.0, self._deadline - now))
        self._known[question] = answer
        self._octets += octets_of(question, answer) if isinstance(answer, Answer) else 0
        self.good_until = min(self.good_until, until)
        return answer


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
