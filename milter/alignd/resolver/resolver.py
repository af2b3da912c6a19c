"""DNS for messages: from the cache where possible, and within one time budget for each message.

NXDOMAIN and no data mean "no such record". Silence, SERVFAIL, REFUSED and other refusals of all
nameservers, and answers that make no sense (CNAME loops) are failures. A failure is answered by
the last known good answer while that is not too old, else it is unknown: never "absent".

Where there is a last known answer, a message waits but a moment for a new one, and not at all
while DNS is in trouble: then it is asked for in the background.
"""

from __future__ import annotations

import math
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
from alignd.resolver.refresher import Refresher
from alignd.resolver.single_flight import SingleFlight
from alignd.resolver.trouble import LATE_SECONDS, Trouble
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
_DOWN = LookupFailed("DNS is down")
_TOO_MUCH = LookupFailed("the answers for this message are too large")
_MAX_ALIASES = 8  # that are followed one by one; most nameservers follow them all
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
    """Counts what a resolver does; called from any thread, and while a message waits."""

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        """Count a query to the nameservers."""
        ...

    def hit_cache(self) -> None:
        """Count a question answered from the cache, with a fresh answer."""
        ...

    def used_last_known(self) -> None:
        """Count a question that DNS failed to answer, answered with the last known answer."""
        ...

    def refresh_failed(self) -> None:
        """Count an exception while an answer was refreshed in the background."""
        ...

    def probe_failed(self) -> None:
        """Count an exception of the thread that probes while DNS is silent."""
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

    def refresh_failed(self) -> None:
        pass

    def probe_failed(self) -> None:
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
        nameservers: Nameservers,
        report: Callable[[str], None],
        archive: Archive | None = None,
        meter: Meter | None = None,
        *,
        keeps_sockets: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*report* is called when DNS goes down and when it is back, and of what fails in threads.

        One that *keeps_sockets* can ask when the process has no descriptor left for another.
        *clock* gives monotonic seconds, by which answers age.
        """
        self._settings = settings
        self._budget = _DNS_SHARE * settings.timeout
        self._late = min(LATE_SECONDS, self._budget)
        self._clock = clock
        self._upstream = Upstream(nameservers, keeps_sockets=keeps_sockets)
        self._cache = AnswerCache(settings.min_ttl, settings.max_ttl, MAX_NEGATIVE_TTL, clock)
        self._report = report
        self._archive = archive
        self._meter = meter or _NoMeter()
        # Not a method: nothing refers to a resolver but its users, and it goes when they do.
        probe = partial(self._upstream.answers, settings.timeout)
        self._breaker = CircuitBreaker(probe, report, clock, self._meter.probe_failed)
        self._trouble = Trouble(clock)
        self._single_flight: SingleFlight[Question, CachedAnswer | LookupFailed] = SingleFlight()
        self._refresher = Refresher(self._refresh, self._refresh_failed)
        self._refresh_failures: set[str] = set()  # by class of exception, so few

    @property
    def is_down(self) -> bool:
        """Whether the circuit breaker is open, or half open: of what is not known, nothing or one
        message at a time is asked.
        """
        return not self._breaker.is_closed

    @property
    def is_troubled(self) -> bool:
        """Whether DNS is so bad that no message waits that has last known answers."""
        return self._trouble.is_on or self.is_down

    def conditions(self) -> dict[Nameserver, Condition]:
        """What became of the last queries to each nameserver in use."""
        return self._upstream.conditions()

    def end(self) -> None:
        """Stop the threads and close the files: no new message will ask.

        Messages in progress are answered as before, but nothing is refreshed.
        """
        self._breaker.end()
        self._refresher.end()
        self._upstream.end()

    def use_nameservers(self, nameservers: Nameservers) -> None:
        """Ask these from now on.

        All answers stay known; that others failed, or were silent, says nothing of these.
        """
        self._upstream.use(nameservers)
        self._cache.forget_failures()
        self._breaker.start_afresh()
        self._trouble = Trouble(self._clock)

    def for_message(self) -> MessageLookup:
        """Make the Lookup of one message; its budget starts with its first question."""
        return MessageLookup(self, self._budget, self._late)

    def prefetch(self, question: Question) -> None:
        """Ask *question* to fill the cache, within the budget of a message.

        A message that asks the same meanwhile waits for this answer.
        """
        if self.is_down or self._cache.failure(question):
            return
        known = self._cache.get(question) if self.is_troubled else None
        if known and self._last_known(question, known, self._clock()):
            self._refresh_soon(question)
        else:
            self._ask_once(question, self._budget)

    def fresh_until(self, question: Question) -> float:
        """The monotonic time until which the cache answers *question*; 0 when it does not."""
        known = self._cache.get(question)
        return known.expires if known else 0.0

    def answer(
        self, question: Question, seconds: float, patience: float
    ) -> tuple[Answer | LookupFailed, float]:
        """Answer *question*, waiting for the network for at most *seconds*.

        Where there is a last known answer, for at most *patience* seconds.

        Returns:
            The answer, and the monotonic time until which it may be reused; 0 for the last known
            answer and for a failure.
        """
        known, now = self._cache.get(question), self._clock()
        if known and now < known.expires:
            if now >= known.due:
                self._refresh_soon(question)
            self._meter.hit_cache()
            return known.answer, known.due
        is_early = self._is_early(known)
        last_known = self._last_known(question, known, now) if is_early else None
        outcome = self._cache.failure(question) or (
            self._ask_for_a_moment(question, patience)
            if last_known
            else self._ask_unless_down(question, seconds)
        )
        if isinstance(outcome, CachedAnswer):
            return outcome.answer, outcome.due
        if not is_early:
            last_known = self._last_known(question, known, now)
        if last_known:
            self._meter.used_last_known()
        return last_known or outcome, 0.0

    def _is_early(self, known: CachedAnswer | None) -> bool:
        """Whether to look for the last known answer before DNS is asked.

        In the archive, when DNS may be bad; else it would cost all new domains a look in vain.
        """
        return known is not None or self._trouble.is_suspected or self.is_down

    def _ask_unless_down(self, question: Question, seconds: float) -> CachedAnswer | LookupFailed:
        if (known := self._cache.get(question)) and self._clock() < known.due:
            return known  # it has come since it was looked for: the archive takes a moment
        if not self._breaker.may_ask(seconds):
            return _DOWN
        outcome = self._ask_once(question, seconds)
        if outcome is _TIMEOUT:
            # This message had too little time for it, and so would the next one have, and all
            # after that, if nobody else waited for the answer.
            self._refresh_soon(question)
        return outcome

    def _ask_for_a_moment(
        self, question: Question, patience: float
    ) -> CachedAnswer | LookupFailed:
        """Ask what has a last known answer; what takes longer goes on in the background."""
        outcome: CachedAnswer | LookupFailed = _DOWN
        if patience > 0 and not self.is_troubled:
            outcome = self._ask_once(question, patience)
            if outcome is not _TIMEOUT:
                return outcome
            self._trouble.record_late(question[0])
        self._refresh_soon(question)
        return outcome

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
            now = self._clock()
            return CachedAnswer(Answer((), exists=False), now, now + MAX_NEGATIVE_TTL)
        if seconds <= 0:
            return LookupFailed("no time is left for this message")
        asked, deadline = self._clock(), time.monotonic() + seconds
        response = self._send(name, to_rdtype(question[1]), seconds)
        if isinstance(response, dns.message.Message):
            self._breaker.record_response()
            response = self._complete(response, to_rdtype(question[1]), deadline)
        if isinstance(response, Silence | LookupFailed):
            outcome: ReceivedAnswer | LookupFailed | Silence = response
        else:
            outcome = read_response(response)
        self._meter.queried(question[1], _result_of(outcome))
        if isinstance(outcome, NotAsked):
            return outcome
        self._record(question, outcome, asked, seconds)
        if isinstance(outcome, Silence):
            return _TIMEOUT
        if isinstance(outcome, LookupFailed):
            self._cache.put_failure(question, outcome)
            return outcome
        if (archive := self._archive_for(question)) and isinstance(response, dns.message.Message):
            archive.put(question, response.to_wire())
        return self._cache.put(question, outcome)

    def _record(
        self,
        question: Question,
        outcome: ReceivedAnswer | LookupFailed | Silence,
        asked: float,
        seconds: float,
    ) -> None:
        """Take note of how DNS is: asked at *asked*, it had these *seconds* for the *outcome*."""
        if isinstance(outcome, Silence):
            if seconds < self._settings.timeout / 2:
                return  # of a question that had little time, silence says little
            self._cache.put_failure(question, _TIMEOUT)
        is_late = self._clock() - asked >= self._late
        if isinstance(outcome, Silence) or (is_late and isinstance(outcome, LookupFailed)):
            self._breaker.record_timeout(question[0], asked)
            self._trouble.record_late(question[0])
            return
        self._breaker.record_response()
        if is_late:
            self._trouble.record_late(question[0])
        elif isinstance(outcome, ReceivedAnswer):
            self._trouble.record_in_time()

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

    def _refresh_soon(self, question: Question) -> None:
        """Refresh an answer in use in the background, so that no message waits for it."""
        if self._may_refresh(question):
            self._refresher.put(question)

    def _refresh(self, question: Question) -> None:
        if self._may_refresh(question):  # still
            self._ask_once(question, self._settings.timeout)

    def _may_refresh(self, question: Question) -> bool:
        return not self._breaker.is_open and self._cache.failure(question) is None

    def _refresh_failed(self, problem: str) -> None:
        self._meter.refresh_failed()
        if problem not in self._refresh_failures:
            self._refresh_failures.add(problem)
            self._report(f"DNS answer was not refreshed: {problem}")

    def _send(
        self, name: dns.name.Name, record_type: dns.rdatatype.RdataType, seconds: float
    ) -> dns.message.Message | LookupFailed | Silence:
        return self._upstream.ask(name, record_type, seconds)


class MessageLookup:
    """The Lookup of one message: each question is asked once, all within one budget."""

    def __init__(self, resolver: Resolver, seconds: float, patience: float) -> None:
        """The budget is *seconds* from the first question on: reading the message is not DNS.

        What has a last known answer is waited for in the first seconds alone, of *patience*.
        """
        self._resolver = resolver
        self._seconds = seconds
        self._patience = patience
        self._began: float | None = None
        self._octets = 0
        self.good_until = math.inf
        """Monotonic time: until then, everything that was answered so far may be reused."""
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
        if self._began is None:
            self._began = now
        spent = now - self._began
        answer, until = self._resolver.answer(
            question, max(0.0, self._seconds - spent), self._patience - spent
        )
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
