"""What waits for the ledger: replies that were counted, and events, in numbered batches.

A batch that was begun keeps its number until the ledger has it, over a crash too, since the state
file has both: so that nothing is lost, and nothing counts twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alignd.feedback.disagreement import Disagreement
from alignd.ledger.batch import DAY
from alignd.ledger.event import Event, EventKind
from alignd.ledger.receivers.rows import ReplyKey

MAX_REPLIES = 10_000
"""Rows of a batch: with others, what a transaction writes in a second."""
MAX_EVENTS = 1_000


@dataclass(slots=True)
class Batch:
    """What the ledger takes at once."""

    replies: dict[ReplyKey, int] = field(default_factory=dict)
    """Messages by key."""
    events: list[Event] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.replies or self.events)


@dataclass(slots=True)
class Outbox:
    """Two batches: the one that the ledger is given, and what has come since."""

    source: str
    """The random id of the state file, of which the ledger keeps the last number."""
    number: int = 0
    """That of the batch that was begun last."""
    sending: Batch | None = None
    waiting: Batch = field(default_factory=Batch)
    left_out: int = 0
    """What there was no room for, and nobody was told of yet."""

    def add(self, each: Disagreement, now: float) -> None:
        """Count a reply, which came *now* where the log has no time, or one that is to come."""
        key = reply_key(each, now)
        replies = self.waiting.replies
        if key not in replies and len(replies) >= MAX_REPLIES:
            self.left_out += 1
            return
        replies[key] = replies.get(key, 0) + 1

    def add_event(self, event: Event) -> None:
        if len(self.waiting.events) >= MAX_EVENTS:
            self.left_out += 1
            return
        self.waiting.events.append(event)

    def begin(self) -> Batch | None:
        """The batch to send: the one that was begun, else all that waits; None for nothing."""
        if self.sending is None and self.waiting:
            self.sending, self.waiting = self.waiting, Batch()
            self.number += 1
        return self.sending

    def acknowledge(self) -> None:
        """Forget the batch that was begun: the ledger has it."""
        self.sending = None

    def begin_anew(self, source: str) -> None:
        """Take another id, where the numbers of the one before were given to other batches."""
        self.source, self.number = source, 1

    def as_values(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "number": self.number,
            "sending": None if self.sending is None else _values(self.sending),
            "waiting": _values(self.waiting),
            "left_out": self.left_out,
        }

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Outbox:
        """Restore an outbox.

        Raises:
            KeyError, TypeError, ValueError: *values* are not what `as_values` returns.
        """
        sending = values["sending"]
        return cls(
            str(values["source"]),
            int(values["number"]),
            None if sending is None else _batch(sending),
            _batch(values["waiting"]),
            int(values["left_out"]),
        )


def reply_key(each: Disagreement, now: float) -> ReplyKey:
    """What a reply is counted by."""
    when = now if each.when is None else min(each.when, now)
    decision = each.decision
    return ReplyKey(
        day=int(when // DAY) * DAY,
        tenant=decision.tenant if decision else "",
        domain=decision.domain if decision else "",
        action=decision.action if decision else "",
        reason=decision.reason if decision else "",
        receiver=each.receiver,
        kind=each.kind.value,
        pattern=each.pattern.name,
    )


def _values(batch: Batch) -> dict[str, Any]:
    return {
        "replies": [[*key, messages] for key, messages in batch.replies.items()],
        "events": [asdict(each) | {"kind": each.kind.value} for each in batch.events],
    }


def _batch(values: Mapping[str, Any]) -> Batch:
    replies = {}
    for day, *words, messages in values["replies"]:
        tenant, domain, action, reason, receiver, kind, pattern = map(str, words)
        key = ReplyKey(int(day), tenant, domain, action, reason, receiver, kind, pattern)
        replies[key] = int(messages)
    events = [Event(**{**each, "kind": EventKind(each["kind"])}) for each in values["events"]]
    return Batch(replies, events)
