"""Caches DNS answers in memory: fresh for their TTL, and stale for when DNS fails (RFC 8767).

It has a bound in octets, since what is in an answer is up to whoever owns the domain.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, Record, RecordType
from alignd.resolver.octet_cache import OctetCache
from alignd.resolver.wire import ReceivedAnswer

LARGE = 4096
"""Octets from which an answer is large: what RFC 6891, section 6.2.5, expects UDP to carry, and
eight times what RFC 7208, section 3.4, asks of an SPF record. Large answers crowd out one another
only, and are not written to the file."""
CACHE_OCTETS = 24 * 2**20
"""Of the answers in memory that are not large: some 30,000 of ordinary domains."""
LARGE_OCTETS = 8 * 2**20
"""Of the large ones, which would otherwise be asked for again by each message."""
FAILURE_OCTETS = 4 * 2**20
MAX_FAILURE_SECONDS = 300.0
"""How long a failure may be kept, RFC 2308, section 7.1."""
_REFRESH_AT = 0.8  # of the time from its arrival to its expiry
OBJECTS = 300  # octets of a question, an answer and a cached answer, without what is in them
Question = tuple[str, RecordType]


class PrivateQuestion(Question):
    """A question whose name may have the local part of an address in it: it is not archived.

    It equals the same question without that, so that they share what is in memory.
    """


@dataclass(slots=True)
class CachedAnswer:
    """An answer, when it arrived, and when it expires."""

    answer: Answer
    received: float
    """Monotonic time: a wall clock that is set must not make an old answer young."""
    expires: float
    """Monotonic time; afterwards it is stale."""

    @property
    def due(self) -> float:
        """The monotonic time from which a use of it starts a refresh, so that no message waits."""
        return self.received + _REFRESH_AT * (self.expires - self.received)


def octets_of(question: Question, answer: Answer) -> int:
    """The octets that *answer* to *question* takes in memory."""
    return (
        OBJECTS
        + sys.getsizeof(question[0])
        + sys.getsizeof(answer.records)
        + sys.getsizeof(answer.alias_of)
        + sum(map(_octets_of_record, answer.records))
    )


def _octets_of_record(record: Record) -> int:
    if isinstance(record, MailExchange):
        return sys.getsizeof(record) + sys.getsizeof(record.host)
    return sys.getsizeof(record)


class AnswerCache:
    """The answers and the recent failures that a process knows; safe for threads."""

    def __init__(
        self,
        min_ttl: float,
        max_ttl: float,
        max_negative_ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Times are in seconds, *max_negative_ttl* is for absent records.

        A failure is kept for *min_ttl* too, so that it costs a burst of messages one timeout.
        """
        self._clock = clock
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._max_negative_ttl = min(max_ttl, max_negative_ttl)
        self._failure_seconds = min(min_ttl, MAX_FAILURE_SECONDS)
        self._answers: OctetCache[Question, CachedAnswer] = OctetCache(CACHE_OCTETS)
        self._large: OctetCache[Question, CachedAnswer] = OctetCache(LARGE_OCTETS)
        self._failures: OctetCache[Question, tuple[LookupFailed, float]] = OctetCache(
            FAILURE_OCTETS
        )

    def failure(self, question: Question) -> LookupFailed | None:
        """Why *question* could not be answered a moment ago, if that is so."""
        kept = self._failures.get(question)
        return kept[0] if kept and self._clock() < kept[1] else None

    def put_failure(self, question: Question, failure: LookupFailed) -> None:
        until = self._clock() + self._failure_seconds
        self._failures.put(question, (failure, until), sys.getsizeof(question[0]))

    def forget_failures(self) -> None:
        self._failures = OctetCache(FAILURE_OCTETS)

    def get(self, question: Question) -> CachedAnswer | None:
        """The last answer to *question*, fresh or stale."""
        return self._answers.get(question) or self._large.get(question)

    def put(self, question: Question, received: ReceivedAnswer) -> CachedAnswer:
        """Cache an answer, which has just arrived, for its TTL, within the bounds."""
        longest = self._max_ttl if received.answer.records else self._max_negative_ttl
        ttl = min(max(received.ttl, self._min_ttl), longest)
        now = self._clock()
        cached = CachedAnswer(received.answer, now, now + ttl)
        octets = octets_of(question, received.answer)
        wanted, other = self._answers, self._large
        if octets > LARGE:
            wanted, other = other, wanted
        wanted.put(question, cached, octets)
        other.discard(question)
        return cached
