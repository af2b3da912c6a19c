"""Caches judgements for as long as the DNS answers that they are made of hold.

To judge a message of a known author from memory costs a fraction of judging it anew, and most
mail of a helpdesk is from a few authors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from alignd.judgement.evidence import Evidence, reduced_evidence, wanted_by
from alignd.judgement.review import Judgement, Reviewer
from alignd.mail.message import Message
from alignd.mailauth.dns import Lookup
from alignd.mta.transaction import Transaction
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import WorkerMetrics

MAX_JUDGEMENTS = 20_000
"""Judgements that are kept; the least used go first."""


class DatedLookup(Lookup, Protocol):
    """A Lookup that knows how long its answers hold."""

    good_until: float
    """Unix time, for all the answers so far; in the past when one was of last resort."""


@dataclass(frozen=True, slots=True)
class CachedJudgement:
    """All that is the same for messages with the same evidence."""

    judgement: Judgement
    log_text: str
    """The fields of the log line."""
    column: int
    """Where the metrics count the message."""
    good_until: float
    """Unix time."""


class _Slot:
    """Where the judgement of one evidence is kept."""

    __slots__ = ("kept",)

    def __init__(self, _evidence: Evidence) -> None:
        self.kept: CachedJudgement | None = None


class JudgementCache:
    """Judges as its *reviewer* does, and from memory what it knows; safe for threads."""

    def __init__(self, reviewer: Reviewer, log: MessageLog, metrics: WorkerMetrics) -> None:
        self._reviewer = reviewer
        self._log = log
        self._metrics = metrics
        # Signatures on the message are verified: each message is like no other.
        self._is_on = not reviewer.configuration.dkim.verify
        self._wanted = wanted_by(reviewer.configuration)
        self._trusted = reviewer.configuration.dkim.trusted_authserv_ids
        self._now = reviewer.now
        # A bounded dictionary that is safe for threads: it makes a slot for what it does not
        # know, and gives back the one it has.
        self._slot = lru_cache(MAX_JUDGEMENTS)(_Slot)

    def judge(
        self, transaction: Transaction, new_lookup: Callable[[], DatedLookup]
    ) -> CachedJudgement:
        """Judge a message, from memory where that is as good."""
        # Memory is not for those who would fill it.
        if not self._is_on or not transaction.is_ordinary:
            return self._judge(transaction, transaction.judged_message(), new_lookup())
        evidence = transaction.evidence
        if self._wanted.reduced:
            evidence = reduced_evidence(evidence, self._wanted, self._trusted, self._now())
        slot = self._slot(evidence)
        kept = slot.kept
        if kept is None or kept.good_until <= self._now():
            # In one step: another thread may read it at any time.
            kept = slot.kept = self._judge(transaction, evidence.message(), new_lookup())
        return kept

    def rewrite_unjudged(self, transaction: Transaction) -> CachedJudgement:
        """Have a message rewritten, where judging it has failed: it will arrive."""
        return self._described(self._reviewer.rewrite_unjudged(transaction.judged_message()), 0.0)

    def _judge(
        self, transaction: Transaction, message: Message, lookup: DatedLookup
    ) -> CachedJudgement:
        judgement = self._reviewer.judge(message, lookup, transaction.author)
        return self._described(judgement, lookup.good_until)

    def _described(self, judgement: Judgement, good_until: float) -> CachedJudgement:
        return CachedJudgement(
            judgement,
            self._log.rendered(**judgement.summary),
            self._metrics.column_of(judgement.reason),
            min(good_until, judgement.circumstances.good_until),
        )
