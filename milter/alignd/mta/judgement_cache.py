"""Caches judgements for as long as the DNS answers that they are made of hold.

To judge a message of a known author from memory costs a fraction of judging it anew, and most
mail of a helpdesk is from a few authors. A judgement that has failed is kept as well, for a while,
as the rewrite that was made of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from alignd.judgement.evidence import Evidence, reduced_evidence, wanted_by
from alignd.judgement.review import Judgement, Reviewer
from alignd.ledger.answer import Answer
from alignd.mail.message import Message
from alignd.mta.suspects import JudgementNotes
from alignd.mta.transaction import Transaction
from alignd.mta.verdict import DatedLookup
from alignd.resolver.octet_cache import OctetCache
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import ProcessMetrics

CACHE_OCTETS = 48 * 2**20
"""Of the judgements that are kept, the last used: some 20,000 ordinary ones."""
MAX_OCTETS = 16_384
"""Of one that is kept: an ordinary one has 2,000, and one of a thousand recipients 250,000."""
FAILED_SECONDS = 300.0
"""How long a message whose judgement raised is not judged anew: what raised once does so again,
and is answered all the same. As long as DNS failures may be kept (RFC 2308, section 7.1): what
raised may have been the moment, such as memory that was short."""
_OBJECTS = 1200  # octets of all the objects of a judgement and its evidence, without their texts
_OBJECT = 80  # and of each field and each edit


@dataclass(frozen=True, slots=True)
class CachedJudgement:
    """All that is the same for messages with the same evidence."""

    judgement: Judgement
    """Without its predictions, which are large, and have said what they have to say: the decision,
    and the log text."""
    log_text: str
    """The fields of the log line."""
    column: int
    """Where the metrics count the message."""
    more_columns: tuple[int, ...]
    """Where else they count it."""
    answer: bytes
    """What the ledger is told of each."""
    good_until: float
    """Monotonic time."""


class JudgementCache:
    """Judges as its *reviewer* does, and from memory what it knows; safe for threads."""

    def __init__(
        self,
        reviewer: Reviewer,
        log: MessageLog,
        metrics: ProcessMetrics,
        notes: JudgementNotes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*notes* outlive this process, should a judgement end it.

        *clock* gives monotonic seconds, by which judgements age: the date may be set.
        """
        self._reviewer = reviewer
        self._log = log
        self._metrics = metrics
        self._notes = notes
        # Signatures on the message are verified: each message is like no other.
        self._is_on = not reviewer.configuration.dkim.verify
        self._wanted = wanted_by(reviewer.configuration)
        self._trusted = reviewer.configuration.dkim.trusted_authserv_ids
        self._date = reviewer.now
        self._clock = clock
        self._kept: OctetCache[Evidence, CachedJudgement] = OctetCache(CACHE_OCTETS)

    def judge(
        self,
        transaction: Transaction,
        new_lookup: Callable[[], DatedLookup],
        *,
        anew: bool = False,
    ) -> CachedJudgement:
        """Judge a message, from memory where that is as good and it need not be judged *anew*."""
        # Memory is not for those who would fill it.
        if not self._is_on or not transaction.is_ordinary:
            return self._judge(transaction, transaction.judged_message(), new_lookup)
        evidence = self._evidence_of(transaction)
        kept = self._kept.get(evidence)
        if anew or kept is None or kept.good_until <= self._clock():
            kept = self._judge(transaction, evidence.message(), new_lookup)
            self._keep(evidence, kept)
        return kept

    def rewrite_unjudged(self, transaction: Transaction) -> CachedJudgement:
        """Have a message rewritten, where judging it has failed: it will arrive.

        Those that are like it are for a while, too.
        """
        unjudged = self._unjudged(transaction, self._clock() + FAILED_SECONDS)
        if self._is_on and transaction.is_ordinary:
            self._keep(self._evidence_of(transaction), unjudged)
        return unjudged

    def _evidence_of(self, transaction: Transaction) -> Evidence:
        evidence = transaction.evidence
        if self._wanted.reduced:
            return reduced_evidence(evidence, self._wanted, self._trusted, self._date())
        return evidence

    def _keep(self, evidence: Evidence, judgement: CachedJudgement) -> None:
        octets = octets_of(evidence, judgement)
        if octets <= MAX_OCTETS:
            self._kept.put(evidence, judgement, octets)

    def _judge(
        self, transaction: Transaction, message: Message, new_lookup: Callable[[], DatedLookup]
    ) -> CachedJudgement:
        fingerprint = transaction.fingerprint
        if seconds := self._notes.suspect_seconds(fingerprint):
            self._log.once_a_minute("message rewritten unjudged: a worker died of one like it")
            return self._unjudged(transaction, self._clock() + seconds)
        with self._notes.judging(fingerprint):
            lookup = new_lookup()
            judgement = self._reviewer.judge(message, lookup, transaction.author)
            return self._described(judgement, lookup.good_until)

    def _unjudged(self, transaction: Transaction, good_until: float) -> CachedJudgement:
        message = transaction.judged_message()
        return self._described(self._reviewer.rewrite_unjudged(message), good_until)

    def _described(self, judgement: Judgement, good_until: float) -> CachedJudgement:
        circumstances = replace(judgement.circumstances, predictions=None, rewrite=None)
        # What depends on a date, such as when a signature expires, stops holding by that date as
        # it is now.
        seconds_left = circumstances.good_until - self._date()
        address = judgement.address
        return CachedJudgement(
            replace(judgement, circumstances=circumstances),
            self._log.rendered(**judgement.summary),
            self._metrics.column_of(judgement.reason),
            () if address is None else (self._metrics.column_of_address(address),),
            Answer.of(judgement.tenant, judgement.summary).encoded(),
            min(good_until, self._clock() + seconds_left),
        )


def octets_of(evidence: Evidence, kept: CachedJudgement) -> int:
    """The octets that a judgement takes in memory, with the *evidence* that it is known by."""
    author, planned = kept.judgement.circumstances.author, kept.judgement.planned
    texts = [kept.log_text, evidence.envelope_sender, author.detail, *evidence.recipient_domains]
    if mailbox := author.mailbox:
        texts += [mailbox.local_part, mailbox.domain.name, mailbox.display_name]
    for name, value in evidence.fields:
        texts += [name, value if isinstance(value, bytes) else b""]
    for edit in planned.header:
        texts += [edit.name, getattr(edit, "value", "")]
    objects = len(evidence.fields) + len(planned.header) + len(evidence.recipient_domains)
    return _OBJECTS + _OBJECT * objects + sum(map(sys.getsizeof, (*texts, kept.answer)))
