"""One milter connection: collects messages, has them reviewed, and applies the edits.

Of the protocol only what a review needs is asked for, and only the end of a message is answered:
replies cost a round trip each. The body crosses the socket only when signatures are verified.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import milter

from alignd.judgement.reasons import Failure, Refusal
from alignd.judgement.review import Judgement, log_fields, sign
from alignd.mail.message import AddField, ChangeField, DeleteField, Edits
from alignd.mta.judgement_cache import DatedLookup, Precedent, RememberingReviewer
from alignd.mta.lookahead import LookAhead
from alignd.mta.transaction import Collected, Interest
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import Fallback, WorkerMetrics

_NEEDED_ACTIONS = milter.ADDHDRS | milter.CHGHDRS | milter.CHGFROM
_UNANSWERED = (
    milter.P_NR_CONN | milter.P_NR_MAIL | milter.P_NR_RCPT | milter.P_NR_HDR | milter.P_NR_BODY
)
UNASKED = milter.P_NOHELO | milter.P_NODATA | milter.P_NOEOH | milter.P_NOUNKNOWN
"""The events that a review has no use for."""
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
class Note:
    """What the service says of every message with the same judgement."""

    text: str
    """For the log."""
    column: int
    """Where the metrics count it."""


def make_note(judgement: Judgement, log: MessageLog, metrics: WorkerMetrics) -> Note:
    """Note what *log* and *metrics* will say of a judgement."""
    return Note(log.rendered(**judgement.summary), metrics.column_of(judgement.decision))


@dataclass(frozen=True, slots=True)
class Desk:
    """What one message is reviewed with."""

    reviewer: RememberingReviewer[Note]
    look_ahead: LookAhead
    new_lookup: Callable[[], DatedLookup]
    """Makes the Lookup of one message; its budget starts at the call."""
    log: MessageLog
    metrics: WorkerMetrics
    interest: Interest
    max_sessions: int
    """How many connections a worker serves at the same time."""
    log_addresses: bool


class Session:
    """One milter connection: one SMTP session, any number of messages."""

    __slots__ = (
        "_actions",
        "_body_comes",
        "_client",
        "_collected",
        "_context",
        "_desk",
        "_desks",
        "_is_refused",
        "_leading_blank",
        "_open_sessions",
        "_unasked",
        "last_event",
    )

    def __init__(
        self,
        context: milter.milterContext,
        desks: Callable[[], Desk],
        open_sessions: Callable[[], int],
        unasked: int,
    ) -> None:
        self._context = context
        self._desks = desks
        self._open_sessions = open_sessions
        self._unasked = unasked
        self._desk = desks()
        self._client: str | None = None
        self._leading_blank = False
        self._body_comes = False
        self._is_refused = False
        self._actions = 0
        self._collected: Collected | None = None
        self.last_event = time.time()
        """Unix time: libmilter measures idle sessions by the wall clock."""

    def negotiate(self, offer: list[int]) -> int:
        """Ask for what is needed of what the MTA offers."""
        actions, steps = offer[0], offer[1]
        self._actions = actions & _NEEDED_ACTIONS
        self._is_refused = self._open_sessions() > self._desk.max_sessions
        # libmilter answers in our place an MTA that waits all the same (engine.c, "fake it").
        unanswered = _UNANSWERED & ~(milter.P_NR_CONN if self._is_refused else 0)
        # With the blanks behind the colon as they are: signatures cover them.
        self._leading_blank = bool(steps & milter.P_HDR_LEADSPC)
        self._body_comes = self._desk.interest.whole_message
        body = 0 if self._body_comes else milter.P_NOBODY
        if actions & milter.SETSYMLIST:
            for stage, macros in _MACROS.items():
                self._context.setsymlist(stage, macros)
        offer[:] = [
            self._actions | actions & milter.SETSYMLIST,
            unanswered | steps & (self._unasked | body | milter.P_HDR_LEADSPC),
            0,
            0,
        ]
        return milter.CONTINUE

    def connect(self, address: object) -> int:
        """A client connected, or XCLIENT said who it really is."""
        self._client = str(address[0]) if isinstance(address, tuple) else None
        if self._is_refused:
            limit = self._desk.max_sessions
            self._desk.log.once_a_minute("milter.max_connections is reached", limit=limit)
            self._desk.metrics.fell_back(Fallback.MAX_CONNECTIONS)
            return milter.TEMPFAIL
        return milter.NOREPLY

    def mail(self, sender: bytes) -> int:
        """A message begins; it keeps the configuration that is in force now."""
        self._desk = self._desks()
        self.last_event = time.time()
        self._collected = Collected(
            self._desk.interest,
            sender,
            self._client,
            self._macro("{auth_authen}"),
            leading_blank=self._leading_blank,
            body_comes=self._body_comes,
        )
        return milter.NOREPLY

    def recipient(self, recipient: bytes) -> int:
        """One more recipient."""
        if self._collected is not None:
            self._collected.add_recipient(recipient)
        return milter.NOREPLY

    def field(self, name: str, value: bytes) -> None:
        """One more header field, of those that are of interest."""
        if self._collected is not None and self._collected.add_field(name, value):
            self._look_ahead(self._collected)

    def body(self, chunk: bytes) -> int:
        """One more piece of the body."""
        if self._collected is not None:
            self._collected.add_body(chunk)
        return milter.NOREPLY

    def end_of_message(self) -> int:
        """The message is complete: review it and apply the edits, whole or not at all."""
        started = time.monotonic()
        self.last_event = time.time()
        collected, self._collected = self._collected, None
        queue_id = self._macro("i")
        if collected is None:
            self._desk.log.message(queue_id, error=Refusal.NO_ENVELOPE.value)
            self._desk.metrics.fell_back(Fallback.TEMPFAIL)
            return milter.TEMPFAIL
        try:
            precedent = self._judge(collected, queue_id)
            edits = sign(precedent.planned, precedent.judgement, queue_id)
            refusal = self._carry_out(edits, precedent.judgement)
        except Exception as error:  # the one place where a message is answered for
            # Edits may have been sent: after a temporary failure the MTA forgets them.
            tempfail = Failure.TEMPFAIL.value
            self._desk.log.message(queue_id, action=tempfail, error=described(error))
            self._desk.metrics.failed()
            return milter.TEMPFAIL
        seconds = time.monotonic() - started
        self._record(queue_id, collected, precedent, refusal, seconds)
        return milter.TEMPFAIL if refusal else milter.CONTINUE

    def abort(self) -> int:
        """The message in progress is given up; the session may go on."""
        self._collected = None
        return milter.CONTINUE

    def close(self, idle_timeout: float) -> None:
        """The connection has ended, perhaps because libmilter lost its patience."""
        if time.time() - self.last_event >= idle_timeout:
            self._desk.log.once_a_minute("milter.idle_timeout is over: connection cut")

    def _look_ahead(self, collected: Collected) -> None:
        try:
            self._desk.look_ahead.begin(collected.origin, collected.message)
        except Exception as error:  # the review will meet it again, and answer for it
            problem = described(error)
            self._desk.log.once_a_minute("no lookups ahead of a message", problem=problem)

    def _judge(self, collected: Collected, queue_id: str) -> Precedent[Note]:
        try:
            return self._desk.reviewer.judge(collected, self._desk.new_lookup)
        except Exception as error:  # a bug of ours must not cost Julia her answer
            fallback = Failure.FALLBACK.value
            self._desk.log.message(queue_id, action=fallback, error=described(error))
            self._desk.metrics.fell_back(Fallback.INTERNAL_ERROR)
            return self._desk.reviewer.rewrite_unjudged(collected)

    def _carry_out(self, edits: Edits, judgement: Judgement) -> Refusal | None:
        if judgement.settings.rules.dry_run or not edits:
            return None
        if self._actions != _NEEDED_ACTIONS:
            return Refusal.EDITS_REFUSED
        self._apply(edits)
        return None

    def _apply(self, edits: Edits) -> None:
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

    def _record(
        self,
        queue_id: str,
        collected: Collected,
        precedent: Precedent[Note],
        refusal: Refusal | None,
        seconds: float,
    ) -> None:
        desk, text = self._desk, precedent.note.text
        if desk.log_addresses:
            text = desk.log.rendered(**log_fields(precedent.judgement, collected.message()))
        if limit := collected.limit_hit:
            text += " " + desk.log.rendered(limit=limit.value)
            desk.metrics.fell_back(Fallback(limit.value))
        if refusal:
            text += " " + desk.log.rendered(error=refusal.value)
            desk.metrics.fell_back(Fallback.TEMPFAIL)
        if precedent.judgement.settings.rules.dry_run and precedent.planned:
            desk.metrics.left_alone()
        desk.log.about(queue_id, f"{text} ms={seconds * 1000:.1f}")
        desk.metrics.answered(precedent.note.column, seconds)

    def _macro(self, name: str) -> str:
        try:
            return self._context.getsymval(name) or ""
        except UnicodeDecodeError:
            return "?"  # there is one, in no charset that we know
