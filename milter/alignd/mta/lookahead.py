"""Starts the DNS lookups of a message as soon as its From arrives, while the rest is on its way.

Lookups side by side cost one round trip. The judgement, which asks one after the other, then finds
the answers in the cache, or waits for those that are still under way.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from alignd.judgement.author import read_author
from alignd.judgement.review import Reviewer
from alignd.mta.transaction import Transaction
from alignd.resolver.cache import Question
from alignd.resolver.resolver import Resolver

QUESTIONS_AT_ONCE = 64
"""Lookups of a process that may be under way ahead of judgements; these make the others, one after
the other. When DNS answers after 1 s and 40 messages of new domains come a second, 16 leave 193 of
600 messages without an answer in time, 64 leave 5, and 256 no fewer (storm/slow_dns.py). Threads
are started as they are needed."""
_MAX_ORIGINS = 20_000


class _Known:
    """Until when (monotonic time) the answers for one origin are in the cache, or under way."""

    __slots__ = ("until",)

    def __init__(self, _origin: int) -> None:
        self.until = 0.0


class LookAhead:
    """Starts the lookups of messages; safe for threads."""

    def __init__(
        self,
        reviewer: Reviewer,
        resolver: Resolver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*clock* is the resolver's."""
        self._clock = clock
        self._reviewer = reviewer
        self._resolver = resolver
        self._min_ttl = reviewer.configuration.dns.min_ttl
        # A bounded dictionary that is safe for threads: it makes what it does not know, and gives
        # back what it has.
        self._known = lru_cache(_MAX_ORIGINS)(_Known)
        self._free = threading.Semaphore(QUESTIONS_AT_ONCE)
        self._threads = ThreadPoolExecutor(QUESTIONS_AT_ONCE, "lookahead")

    def begin(self, transaction: Transaction) -> None:
        """Start the lookups for a message whose From has just arrived.

        Messages of the same origin ask the same; the first of them starts the lookups.
        """
        # By its hash: an origin is as long as a sender likes, and should two have the same, the
        # judgement of the second asks for itself.
        known = self._known(hash(transaction.origin))
        if self._clock() < known.until:
            return
        message = transaction.judged_message()
        transaction.author = author = read_author(message)
        questions = self._reviewer.first_questions(message, author)
        known.until = min(map(self._known_until, questions), default=math.inf)

    def _known_until(self, question: Question) -> float:
        now, fresh_until = self._clock(), self._resolver.fresh_until(question)
        if now < fresh_until:
            return fresh_until
        if self._free.acquire(blocking=False):
            try:
                self._threads.submit(self._ask, question)
            except RuntimeError:  # no thread left for it
                self._free.release()
                raise
        return now + self._min_ttl  # no answer is kept for less

    def _ask(self, question: Question) -> None:
        # What it raises stays in a Future that nobody looks at: the judgement asks again, meets
        # it, too, and answers for it.
        try:
            self._resolver.prefetch(question)
        finally:
            self._free.release()
