"""What becomes of a message, for a session that does not know which way the mail goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from alignd.mail.mailbox import Mailbox
from alignd.mail.message import NO_EDITS, Edits, Reply
from alignd.mailauth.dns import Lookup
from alignd.mta.transaction import Transaction


class DatedLookup(Lookup, Protocol):
    """A Lookup that knows how long its answers hold."""

    good_until: float
    """Monotonic time, for all the answers so far; in the past when one was of last resort."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one message."""

    log_text: str
    """The fields of the log line."""
    column: int
    """Where the metrics count it."""
    edits: Edits = NO_EDITS
    """All of them, the trace field included."""
    reply: Reply | None = None
    """What the client is told; None where it is taken."""
    more_columns: tuple[int, ...] = ()
    """Where else the metrics count it."""
    is_unjudged: bool = False
    """Whether a bug kept it from being judged, now or when one like it came."""
    answer: bytes = b""
    """What the ledger is told of it (`Answer.encoded`)."""
    author: Mailbox | None = None
    """Who level debug names in the log line, if he was read."""


@dataclass(frozen=True, slots=True)
class RecipientRefusal:
    """Why one recipient is not taken."""

    reply: Reply
    log_text: str
    """The fields of the log line."""
    column: int
    """Where the metrics count it."""


class Judge(Protocol):
    """Judges messages, and answers for recipients where that was negotiated; safe for threads."""

    def judge(
        self,
        transaction: Transaction,
        queue_id: str,
        new_lookup: Callable[[], DatedLookup],
        *,
        anew: bool = False,
    ) -> Verdict:
        """Judge a message, *anew* even if one like it was judged before."""

    def unjudged(self, transaction: Transaction, queue_id: str) -> Verdict:
        """Answer for a message where judging it has failed."""

    def refusal(self, transaction: Transaction, recipient: bytes) -> RecipientRefusal | None:
        """Why *recipient* is not taken, beside those that *transaction* has; None if it is."""
