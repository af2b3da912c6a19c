"""One milter connection: collects messages, has them reviewed, and applies the edits.

Of the protocol only what a review needs is asked for, and only the end of a message is answered:
replies cost a round trip each. The body crosses the socket only when signatures are verified.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import milter

from alignd.collected import Collected, Interest
from alignd.journal import Journal, described
from alignd.judgements import DatedLookup, RememberingReviewer
from alignd.message import AddField, ChangeField, DeleteField, Edits, Message
from alignd.metrics import Fallback, WorkerMetrics
from alignd.reasons import Failure, Refusal
from alignd.report import log_fields
from alignd.review import Review

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
class Desk:
    """What one message is reviewed with."""

    reviewer: RememberingReviewer
    new_lookup: Callable[[], DatedLookup]
    """Makes the Lookup of one message; its budget starts at the call."""
    journal: Journal
    metrics: WorkerMetrics
    interest: Interest
    max_sessions: int
    """How many connections a worker serves at the same time."""
    log_addresses: bool


class Session:
    """One milter connection: one SMTP session, any number of messages."""

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
        self._unanswered = 0
        self._reply_to_header = milter.CONTINUE
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
        self._unanswered = steps & _UNANSWERED
        self._is_refused = self._open_sessions() > self._desk.max_sessions
        if self._is_refused:
            self._unanswered &= ~milter.P_NR_CONN  # to say so
        self._reply_to_header = self._reply(milter.P_NR_HDR)
        # With the blanks behind the colon as they are: signatures cover them.
        self._leading_blank = bool(steps & milter.P_HDR_LEADSPC)
        self._body_comes = self._desk.interest.whole_message
        body = 0 if self._body_comes else milter.P_NOBODY
        if actions & milter.SETSYMLIST:
            for stage, macros in _MACROS.items():
                self._context.setsymlist(stage, macros)
        offer[:] = [
            self._actions | actions & milter.SETSYMLIST,
            self._unanswered | steps & (self._unasked | body | milter.P_HDR_LEADSPC),
            0,
            0,
        ]
        return milter.CONTINUE

    def connect(self, address: object) -> int:
        """A client connected, or XCLIENT said who it really is."""
        self._client = str(address[0]) if isinstance(address, tuple) else None
        if self._is_refused:
            limit = self._desk.max_sessions
            self._desk.journal.once_a_minute("milter.max_connections is reached", limit=limit)
            self._desk.metrics.fell_back(Fallback.MAX_CONNECTIONS)
            return milter.TEMPFAIL
        return self._reply(milter.P_NR_CONN)

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
        )
        return self._reply(milter.P_NR_MAIL)

    def recipient(self, recipient: bytes) -> int:
        """One more recipient."""
        if self._collected is not None:
            self._collected.add_recipient(recipient)
        return self._reply(milter.P_NR_RCPT)

    def header(self, name: str, value: bytes) -> int:
        """One more header field."""
        if self._collected is not None:
            self._collected.add_field(name, value)
        return self._reply_to_header

    def body(self, chunk: bytes) -> int:
        """One more piece of the body."""
        if self._collected is not None:
            self._collected.add_body(chunk)
        return self._reply(milter.P_NR_BODY)

    def end_of_message(self) -> int:
        """The message is complete: review it and apply the edits, whole or not at all."""
        started = time.monotonic()
        self.last_event = time.time()
        collected, self._collected = self._collected, None
        queue_id = self._macro("i")
        if collected is None:
            self._desk.journal.message(queue_id, error=Refusal.NO_ENVELOPE.value)
            self._desk.metrics.fell_back(Fallback.TEMPFAIL)
            return milter.TEMPFAIL
        try:
            review = self._review(collected.message(queue_id, with_body=self._body_comes))
            outcome = collected.limits_hit | self._carry_out(review)
        except Exception as error:  # the one place where a message is answered for
            # Edits may have been sent: after a temporary failure the MTA forgets them.
            tempfail = Failure.TEMPFAIL.value
            self._desk.journal.message(queue_id, action=tempfail, error=described(error))
            self._desk.metrics.failed()
            return milter.TEMPFAIL
        seconds = time.monotonic() - started
        fields = log_fields(review, with_addresses=self._desk.log_addresses)
        self._desk.journal.message(queue_id, **fields, **outcome, ms=round(seconds * 1000, 1))
        self._desk.metrics.answered(review, seconds, outcome)
        return milter.TEMPFAIL if "error" in outcome else milter.CONTINUE

    def abort(self) -> int:
        """The message in progress is given up; the session may go on."""
        self._collected = None
        return milter.CONTINUE

    def close(self, idle_timeout: float) -> None:
        """The connection has ended, perhaps because libmilter lost its patience."""
        if time.time() - self.last_event >= idle_timeout:
            self._desk.journal.once_a_minute("milter.idle_timeout is over: connection cut")

    def _review(self, message: Message) -> Review:
        try:
            return self._desk.reviewer.review(message, self._desk.new_lookup())
        except Exception as error:  # a bug of ours must not cost Julia her answer
            fallback = Failure.FALLBACK.value
            self._desk.journal.message(message.queue_id, action=fallback, error=described(error))
            self._desk.metrics.fell_back(Fallback.INTERNAL_ERROR)
            return self._desk.reviewer.rewrite_unjudged(message)

    def _carry_out(self, review: Review) -> dict[str, str]:
        if not review.edits or review.settings.rules.dry_run:
            return {}
        if self._actions != _NEEDED_ACTIONS:
            return {"error": Refusal.EDITS_REFUSED.value}
        self._apply(review.edits)
        return {}

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

    def _macro(self, name: str) -> str:
        try:
            return self._context.getsymval(name) or ""
        except UnicodeDecodeError:
            return "?"  # there is one, in no charset that we know

    def _reply(self, step: int) -> int:
        return milter.NOREPLY if self._unanswered & step else milter.CONTINUE
