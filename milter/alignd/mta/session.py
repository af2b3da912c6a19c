"""One milter connection: collects messages, has them judged, and applies the edits.

Of the protocol only what a judgement needs is asked for, and only the end of a message is
answered, and recipients where one may be refused: replies cost a round trip each. The body crosses
the socket only where a DKIM signature may count, which a line that is too long would break.

Which way the mail goes is known to the `Judge` of the runtime, and nowhere here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import milter

from alignd.judgement.evidence import Wanted, address_in
from alignd.judgement.reasons import Failure, Reason, Refusal
from alignd.judgement.review import address_fields
from alignd.ledger.ring import RingWriter
from alignd.mail.message import AddField, ChangeField, DeleteField, Edits, Reply
from alignd.mta.transaction import Transaction
from alignd.mta.verdict import DatedLookup, Judge, RecipientRefusal, Verdict
from alignd.telemetry.log import HOUR, MessageLog, described
from alignd.telemetry.metrics import Degraded, ProcessMetrics
from alignd.telemetry.words import LedgerLoss

_NEEDED_ACTIONS = milter.ADDHDRS | milter.CHGHDRS | milter.CHGFROM
_UNANSWERED = milter.P_NR_CONN | milter.P_NR_MAIL | milter.P_NR_HDR | milter.P_NR_BODY
UNASKED = milter.P_NODATA | milter.P_NOEOH | milter.P_NOUNKNOWN
"""The events that no judgement has a use for."""
_SLOW_SECONDS = 1.0  # a probe that took longer is logged
# An empty list would mean the default one, which is long; the queue id is needed anyway.
_MACROS = {
    milter.M_CONNECT: "i",
    milter.M_HELO: "i",
    milter.M_ENVFROM: "{auth_authen}",
    milter.M_ENVRCPT: "i",
    milter.M_DATA: "i",
    milter.M_EOH: "i",
    milter.M_EOM: "i",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What one message is served with."""

    judge: Judge
    look_ahead: Callable[[Transaction], None]
    """Starts the DNS lookups of a message whose From has just arrived."""
    new_lookup: Callable[[], DatedLookup]
    """Makes the Lookup of one message; its budget starts at the call."""
    log: MessageLog
    metrics: ProcessMetrics
    wanted: Wanted
    max_sessions: int
    """How many connections a worker serves at the same time."""
    log_addresses: bool
    ring: RingWriter | None = None
    """Where the ledger takes what was answered from; None where there is none."""


class Session:
    """One milter connection: one SMTP session, any number of messages."""

    __slots__ = (
        "_actions",
        "_body_comes",
        "_client",
        "_context",
        "_current_runtime",
        "_helo",
        "_leading_blank",
        "_message_runtime",
        "_open_sessions",
        "_probe_id",
        "_recipient_taken",
        "_transaction",
        "_unasked",
        "descriptor",
        "is_refused",
        "judging_since",
        "last_event",
    )

    def __init__(
        self,
        context: milter.milterContext,
        current_runtime: Callable[[], Runtime],
        open_sessions: Callable[[], int],
        unasked: int,
        probe_id: str | None = None,
    ) -> None:
        self._context = context
        self._current_runtime = current_runtime
        self._open_sessions = open_sessions
        self._unasked = unasked
        self._probe_id = probe_id
        self._message_runtime: Runtime | None = None
        self._client: str | None = None
        self._helo = ""
        self._recipient_taken = milter.CONTINUE
        self._leading_blank = False
        self._body_comes = False
        self.is_refused = False
        """Whether there are too many sessions, once it has negotiated."""
        self.descriptor = -1
        """That of its connection, if it was found out."""
        self._actions = 0
        self._transaction: Transaction | None = None
        self.last_event = time.time()
        """Unix time: libmilter measures idle sessions by the wall clock."""
        self.judging_since = math.inf
        """The monotonic time at which the judgement in progress began."""

    def negotiate(self, offer: list[int]) -> int:
        """Accept of the MTA's *offer* what is needed; it becomes the answer."""
        actions, steps = offer[0], offer[1]
        self._actions = actions & _NEEDED_ACTIONS
        self.is_refused = self._open_sessions() > self._runtime.max_sessions
        wanted = self._runtime.wanted
        # libmilter answers for alignd if the MTA waits all the same (engine.c, "fake it").
        unanswered = _UNANSWERED & ~(milter.P_NR_CONN if self.is_refused else 0)
        if not wanted.answers_recipients:
            unanswered |= milter.P_NR_RCPT
            self._recipient_taken = milter.NOREPLY
        unanswered |= milter.P_NR_HELO if wanted.helo else 0
        unasked = self._unasked | (0 if wanted.helo else milter.P_NOHELO)
        # With the blanks behind the colon as they are: signatures cover them.
        self._leading_blank = bool(steps & milter.P_HDR_LEADSPC)
        self._body_comes = wanted.line_length
        unasked |= 0 if self._body_comes else milter.P_NOBODY
        if actions & milter.SETSYMLIST:
            for stage, macros in _MACROS.items():
                self._context.setsymlist(stage, macros)
        offer[:] = [
            self._actions | actions & milter.SETSYMLIST,
            unanswered | steps & (unasked | milter.P_HDR_LEADSPC),
            0,
            0,
        ]
        return milter.CONTINUE

    def connect(self, address: object) -> int:
        """Note the client; Postfix calls again when XCLIENT says who it really is."""
        self._client = str(address[0]) if isinstance(address, tuple) else None
        self._helo = ""
        if self.is_refused:
            limit = self._runtime.max_sessions
            self._runtime.log.once_a_minute("milter.max_connections is reached", limit=limit)
            self._runtime.metrics.degraded(Degraded.MAX_CONNECTIONS)
            return milter.TEMPFAIL
        return milter.NOREPLY

    def helo(self, name: str) -> int:
        """Note what the client says; it may do so again, such as after STARTTLS."""
        self._helo = name
        return milter.NOREPLY

    def mail(self, sender: bytes) -> int:
        """Begin a message, which keeps the configuration that is in force now."""
        self._message_runtime = self._current_runtime()
        self.last_event = time.time()
        self._transaction = Transaction(
            self._runtime.wanted,
            sender,
            self._client,
            self._macro("{auth_authen}"),
            self._helo,
            leading_blank=self._leading_blank,
            body_comes=self._body_comes,
        )
        return milter.NOREPLY

    def recipient(self, recipient: bytes) -> int:
        transaction = self._transaction
        if transaction is None:
            return self._recipient_taken
        try:
            refusal = self._runtime.judge.refusal(transaction, recipient)
        except Exception as error:  # a bug: its sender tries again
            return self._fail(self._macro("i"), error)
        if refusal is None:
            transaction.add_recipient(recipient)
            return self._recipient_taken
        return self._refuse_recipient(refusal, transaction, recipient)

    def field(self, name: str, value: bytes) -> None:
        if self._transaction is not None and self._transaction.add_field(name, value):
            self._look_ahead(self._transaction)

    def body(self, chunk: bytes) -> int:
        if self._transaction is not None:
            self._transaction.add_body(chunk)
        return milter.NOREPLY

    def end_of_message(self) -> int:
        """Judge the message and apply the edits, whole or not at all."""
        started = time.monotonic()
        self.last_event = time.time()
        transaction, self._transaction = self._transaction, None
        queue_id = self._macro("i")
        if transaction is None:
            self._runtime.log.message(queue_id, error=Refusal.NO_ENVELOPE.value)
            self._runtime.metrics.degraded(Failure.TEMPFAIL)
            return milter.TEMPFAIL
        if queue_id == self._probe_id:
            return self._answer_probe(transaction, started)
        try:
            self.judging_since = started
            verdict = self._judge(transaction, queue_id)
            self.judging_since = math.inf
            refusal = self._apply(verdict.edits)
        except Exception as error:  # the one place where a message is answered for
            # Edits may have been sent: after a temporary failure the MTA forgets them.
            self.judging_since = math.inf
            return self._fail(queue_id, error)
        self._record(queue_id, transaction, verdict, refusal, time.monotonic() - started)
        if verdict.reply is not None:
            return self._reply(verdict.reply)
        return milter.TEMPFAIL if refusal else milter.CONTINUE

    def _answer_probe(self, transaction: Transaction, started: float) -> int:
        """Take the supervisor's message the way of all messages, and count it nowhere.

        It is no mail, and that none comes has to show in the metrics. Its line is written once an
        hour, when it was slow, and at level debug: there is a probe every ten seconds. Its queue
        id is a secret, and in none of them.
        """
        log = self._runtime.log
        self.judging_since = started
        try:
            self._runtime.judge.judge(transaction, "", self._runtime.new_lookup, anew=True)
        except Exception as error:  # it is answered, and so would mail be
            log.once_a_minute("probe failed", error=described(error))
            return milter.TEMPFAIL
        finally:
            self.judging_since = math.inf
            self._message_runtime = None
        seconds = time.monotonic() - started
        is_due = log.is_due("probe", HOUR)
        if is_due or seconds > _SLOW_SECONDS or self._runtime.log_addresses:
            log.service("probe answered", ms=round(seconds * 1000, 1))
        return milter.CONTINUE

    def abort(self) -> int:
        """Drop the message in progress; the session may go on."""
        self._transaction = self._message_runtime = None
        return milter.CONTINUE

    def close(self, idle_timeout: float) -> None:
        """Log if the connection ended because libmilter found it idle for too long."""
        if time.time() - self.last_event >= idle_timeout:
            self._runtime.log.once_a_minute("idle connection closed: milter.idle_timeout is over")

    @property
    def _runtime(self) -> Runtime:
        # Between messages none is held: an idle session would keep an old one, with its caches,
        # threads and files.
        return self._message_runtime or self._current_runtime()

    def _look_ahead(self, transaction: Transaction) -> None:
        try:
            self._runtime.look_ahead(transaction)
        except Exception as error:  # the judgement will meet it again, and answer for it
            problem = described(error)
            self._runtime.log.once_a_minute("DNS lookups were not started early", problem=problem)

    def _judge(self, transaction: Transaction, queue_id: str) -> Verdict:
        judge = self._runtime.judge
        try:
            verdict = judge.judge(transaction, queue_id, self._runtime.new_lookup)
        except Exception as error:  # a bug of alignd must not cost Julia her answer
            fallback = Failure.FALLBACK.value
            self._runtime.log.message(queue_id, action=fallback, error=described(error))
            self._runtime.metrics.degraded(Reason.INTERNAL_ERROR)
            return judge.unjudged(transaction, queue_id)
        if verdict.is_unjudged:
            self._runtime.metrics.degraded(Reason.INTERNAL_ERROR)
        return verdict

    def _fail(self, queue_id: str, error: Exception) -> int:
        self._runtime.log.message(queue_id, action=Failure.TEMPFAIL.value, error=described(error))
        self._runtime.metrics.failed()
        return milter.TEMPFAIL

    def _apply(self, edits: Edits) -> Refusal | None:
        """Send *edits* to the MTA, unless it refuses them."""
        if not edits:
            return None
        if self._actions != _NEEDED_ACTIONS:
            return Refusal.EDITS_REFUSED
        blank = " " if self._leading_blank else ""
        for edit in edits.header:
            match edit:
                case AddField(name, value):
                    self._context.addheader(name, blank + value, -1)
                case ChangeField(name, index, value):
                    self._context.chgheader(name, index, blank + value)
                case DeleteField(name, index):
                    self._context.chgheader(name, index, None)
        if edits.envelope_sender is not None:
            self._context.chgfrom(f"<{edits.envelope_sender}>", None)
        return None

    def _reply(self, reply: Reply) -> int:
        self._context.setreply(reply.code, reply.status, reply.text)
        return milter.REJECT if reply.is_for_good else milter.TEMPFAIL

    def _refuse_recipient(
        self, refusal: RecipientRefusal, transaction: Transaction, recipient: bytes
    ) -> int:
        log, text = self._runtime.log, refusal.log_text
        if self._runtime.log_addresses:
            sender, to = transaction.envelope_sender, address_in(recipient)
            text += " " + log.rendered(sender=sender, recipient=to)
        log.about(self._macro("i"), text)
        self._runtime.metrics.count(refusal.column)
        return self._reply(refusal.reply)

    def _record(
        self,
        queue_id: str,
        transaction: Transaction,
        verdict: Verdict,
        refusal: Refusal | None,
        seconds: float,
    ) -> None:
        log, metrics, text = self._runtime.log, self._runtime.metrics, verdict.log_text
        if self._runtime.log_addresses:
            text += " " + log.rendered(**address_fields(verdict.author, transaction.message()))
        if limit := transaction.limit_hit:
            text += " " + log.rendered(limit=limit.value)
            metrics.degraded(limit)
        if refusal:
            text += " " + log.rendered(error=refusal.value)
            metrics.degraded(Failure.TEMPFAIL)
        log.about(queue_id, f"{text} ms={seconds * 1000:.1f}")
        metrics.answered(verdict.column, seconds)
        if verdict.more_columns:
            metrics.count(*verdict.more_columns)
        if refusal is None:
            self._tell_ledger(queue_id, verdict)
        self._message_runtime = None

    def _tell_ledger(self, queue_id: str, verdict: Verdict) -> None:
        """Tell the ledger of a message, unless it was put off: then it comes again."""
        is_put_off = verdict.reply is not None and not verdict.reply.is_for_good
        ring = self._runtime.ring
        if ring is None or is_put_off:
            return
        try:
            if not ring.write(self.last_event, queue_id, verdict.answer):
                self._runtime.metrics.ledger_lost(LedgerLoss.RING_FULL)
        except Exception as error:  # a bug: the message is answered all the same
            self._runtime.metrics.ledger_lost(LedgerLoss.MALFORMED)
            self._runtime.log.once_a_minute("ledger was not told", error=described(error))

    def _macro(self, name: str) -> str:
        try:
            return self._context.getsymval(name) or ""
        except UnicodeDecodeError:
            return "?"  # it has a value, in an unknown charset
