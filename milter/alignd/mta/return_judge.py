"""Judges what comes back to return addresses, each message anew: no two strangers are alike."""

from __future__ import annotations

from collections.abc import Callable

from alignd.config.settings import Configuration
from alignd.judgement.evidence import Wanted, address_in
from alignd.judgement.forwarding import ADDED_FIELDS
from alignd.judgement.reasons import Action
from alignd.judgement.return_leg import ReturnJudgement, ReturnReviewer
from alignd.judgement.return_reasons import ReturnReason
from alignd.judgement.rewrite import TOUCHED_FIELDS
from alignd.ledger.answer import Answer
from alignd.mta.suspects import JudgementNotes
from alignd.mta.transaction import Transaction
from alignd.mta.verdict import DatedLookup, RecipientRefusal, Verdict
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import BounceResult

_BOUNCE_RESULTS = {
    Action.FORWARD: BounceResult.FORWARDED,
    Action.REWRITE: BounceResult.FORWARDED,
    Action.REFUSE: BounceResult.REFUSED,
}
"""What became of a bounce; one that waits, or that is none of return addresses, is not counted."""


def wanted_on_return(configuration: Configuration) -> Wanted:
    """What judging what comes back looks at, within the limits of [milter]: all of it."""
    milter = configuration.milter
    return Wanted(
        whole_message=True,
        fields=TOUCHED_FIELDS | ADDED_FIELDS | {"content-type"},
        judged=frozenset({"from"}),
        reduced=frozenset(),
        line_length=True,
        max_header=milter.max_header_bytes,
        max_edits=milter.max_edits,
        max_body=milter.max_body_bytes,
        return_domains=frozenset(),
        helo=True,
        answers_recipients=True,
    )


class ReturnJudge:
    """Judges as its *reviewer* does. What fails is put off: a real sender tries again."""

    def __init__(
        self,
        reviewer: ReturnReviewer,
        log: MessageLog,
        metrics: ProcessMetrics,
        notes: JudgementNotes,
    ) -> None:
        """*notes* outlive this process, should a judgement end it."""
        self._reviewer = reviewer
        self._log = log
        self._metrics = metrics
        self._notes = notes

    def judge(
        self,
        transaction: Transaction,
        queue_id: str,
        new_lookup: Callable[[], DatedLookup],
        *,
        anew: bool = False,  # noqa: ARG002  all are
    ) -> Verdict:
        fingerprint = transaction.fingerprint
        if self._notes.suspect_seconds(fingerprint):
            self._log.once_a_minute("message put off unjudged: a worker died of one like it")
            return self.unjudged(transaction, queue_id)
        with self._notes.judging(fingerprint):
            judgement = self._reviewer.judge(transaction.message(), new_lookup(), queue_id)
        return self._verdict(judgement, transaction)

    def unjudged(self, transaction: Transaction, queue_id: str) -> Verdict:  # noqa: ARG002
        return self._verdict(self._reviewer.unjudged(), transaction)

    def refusal(self, transaction: Transaction, recipient: bytes) -> RecipientRefusal | None:
        sender = transaction.envelope_sender
        refusal = self._reviewer.refusal_of_recipient(sender, address_in(recipient))
        if refusal is None:
            return None
        reason, reply = refusal
        words = {"action": reason.action.value, "reason": reason.value, "at": "rcpt"}
        return RecipientRefusal(
            reply, self._log.rendered(**words), self._metrics.column_of_recipient(reason)
        )

    def _verdict(self, judgement: ReturnJudgement, transaction: Transaction) -> Verdict:
        reason = judgement.reason
        result = None if transaction.envelope_sender else _BOUNCE_RESULTS.get(reason.action)
        return Verdict(
            self._log.rendered(**judgement.summary),
            self._metrics.column_of(reason),
            judgement.planned,
            judgement.reply,
            () if result is None else (self._metrics.column_of_bounce(result),),
            reason is ReturnReason.INTERNAL_ERROR,
            Answer.of("", judgement.summary).encoded(),
            judgement.author,
        )
