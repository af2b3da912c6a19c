"""Judges mail of the helpdesk: a message that may be known from memory, in one verdict."""

from __future__ import annotations

from collections.abc import Callable

from alignd.judgement.reasons import Reason
from alignd.judgement.review import add_trace_field
from alignd.mail.message import NO_EDITS, Reply
from alignd.mta.judgement_cache import CachedJudgement, JudgementCache
from alignd.mta.transaction import Transaction
from alignd.mta.verdict import DatedLookup, Verdict
from alignd.telemetry.metrics import ProcessMetrics

_TOO_MANY_FIELDS = "Too many header fields would have to be removed ({})"


class OutboundJudge:
    """Judges by the *cache*."""

    def __init__(self, cache: JudgementCache, metrics: ProcessMetrics) -> None:
        self._cache = cache
        self._only_for_show = (metrics.dry_run_column,)

    def judge(
        self,
        transaction: Transaction,
        queue_id: str,
        new_lookup: Callable[[], DatedLookup],
        *,
        anew: bool = False,
    ) -> Verdict:
        return self._verdict(self._cache.judge(transaction, new_lookup, anew=anew), queue_id)

    def unjudged(self, transaction: Transaction, queue_id: str) -> Verdict:
        return self._verdict(self._cache.rewrite_unjudged(transaction), queue_id)

    def refusal(self, transaction: Transaction, recipient: bytes) -> None:
        """No recipient is refused, and the MTA does not wait for an answer."""

    def _verdict(self, cached: CachedJudgement, queue_id: str) -> Verdict:
        judgement = cached.judgement
        is_only_for_show = judgement.is_only_for_show
        only_for_show = self._only_for_show if is_only_for_show else ()
        return Verdict(
            cached.log_text,
            cached.column,
            NO_EDITS if is_only_for_show else add_trace_field(judgement, queue_id),
            _reply(judgement.reason) if judgement.is_refused else None,
            cached.more_columns + only_for_show,
            judgement.reason is Reason.INTERNAL_ERROR,
            cached.answer,
            judgement.circumstances.author.mailbox,
        )


def _reply(reason: Reason) -> Reply:
    # In the queue-first layout, this is what the sender reads in the bounce.
    return Reply("554", "5.6.0", _TOO_MANY_FIELDS.format(reason.value))
