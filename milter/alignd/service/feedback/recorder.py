"""Brings what receivers answered to the ledger, every few seconds, each reply and event once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Protocol

from alignd.feedback.disagreement import Disagreement
from alignd.feedback.join import Alert
from alignd.feedback.outbox import Batch, Outbox
from alignd.ledger.batch import DomainKey
from alignd.ledger.database import LedgerError, problem_of
from alignd.ledger.event import Event, EventKind, Rejection
from alignd.ledger.pause import Pause
from alignd.ledger.receivers.rows import ReplyKey
from alignd.ledger.watch.states import new_event
from alignd.service.processes.trouble import Trouble
from alignd.service.setup import Leg
from alignd.telemetry.log import MessageLog

RECORD_SECONDS = 3.0
"""Between two transactions."""
_FIRST_PAUSE, _LONGEST_PAUSE = 3.0, 30.0  # seconds; a wrong pass is to be known within a minute


class Ledger(Protocol):
    """What is used of a `ReceiversLedger`."""

    def add_replies(
        self,
        replies: Mapping[ReplyKey, int],
        events: Sequence[Event],
        source: str,
        number: int,
    ) -> bool:
        """Add them; False if the batch of that number was added before.

        Raises:
            LedgerError: perhaps it was not.
        """
        ...


def new_source() -> str:
    """An id that no other state file has."""
    return f"feedback-{uuid.uuid4().hex}"


class Recorder:
    """Takes what is to be told, and sends it from the outbox."""

    def __init__(
        self,
        outbox: Outbox,
        ledger: Ledger,
        relay: str,
        log: MessageLog,
        save: Callable[[], bool],
    ) -> None:
        """*save* writes the state with its outbox; False if that is not possible."""
        self._outbox = outbox
        self._ledger = ledger
        self._relay = relay
        self._log = log
        self._save = save
        self._pause = Pause(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._next = 0.0
        # What was begun in an earlier life may have been added.
        self._was_tried = outbox.sending is not None
        self._is_saved = self._was_tried
        self._trouble = Trouble(
            log, "replies wait for the ledger", "replies are in the ledger again"
        )

    def take(self, each: Disagreement | Alert, now: float) -> None:
        """Log and count it; *now* is the Unix time."""
        if isinstance(each, Disagreement):
            self._log.message(each.queue_id, **_words_of(each))
            self._outbox.add(each, now)
        else:
            self._log.service("receivers contradict alignd", **_words_of_alert(each))
            self._outbox.add_event(event_of(each, self._relay))

    def work(self, now: float) -> None:
        """Send what waits, if it is time to; *now* is of a monotonic clock."""
        if now < self._next:
            return
        self._tell_left_out()
        self._next = now + RECORD_SECONDS
        batch = self._outbox.begin()
        if batch is None:
            return
        problem = self._sent(batch)
        self._trouble.look(problem)
        if problem:
            self._next = now + self._pause.after_failure()
        else:
            self._pause.end()

    def end(self) -> None:
        """Send once more: nobody may start this again for long."""
        while (batch := self._outbox.begin()) is not None:
            if problem := self._sent(batch):
                self._trouble.look(problem)
                return

    def _sent(self, batch: Batch) -> str:
        """Why the batch was not sent; empty if it was."""
        # Its number is on disk before the ledger has it, with the place in the log behind it.
        if not self._is_saved:
            self._is_saved = self._save()
        if not self._is_saved:
            return "the state cannot be written"
        outbox = self._outbox
        try:
            is_new = self._ledger.add_replies(
                batch.replies, batch.events, outbox.source, outbox.number
            )
        except LedgerError as error:
            self._was_tried = True
            return problem_of(error)
        if not is_new and not self._was_tried:
            # The state file is an older copy of itself, whose numbers have been given since.
            self._log.service("the state of feedback is an older copy: replies may count twice")
            outbox.begin_anew(new_source())
            self._is_saved = False
            return self._sent(batch)
        outbox.acknowledge()
        self._was_tried = self._is_saved = False
        return ""

    def _tell_left_out(self) -> None:
        outbox = self._outbox
        if outbox.left_out and self._log.is_due("left out", 60.0):
            self._log.service(
                "replies were left out: too many wait for the ledger", messages=outbox.left_out
            )
            outbox.left_out = 0


def event_of(alert: Alert, relay: str) -> Event:
    """What the ledger tells of an alert."""
    said = Rejection(alert.kind.value, alert.receiver, alert.messages, alert.pattern.name)
    key = DomainKey(alert.tenant, alert.domain)
    kind, leg = EventKind.REJECTED, Leg.OUTBOUND.value
    event = new_event(kind, {}, asdict(said), at=alert.when, key=key, leg=leg, relay=relay)
    return replace(event, was="")  # there was nothing


def _words_of(each: Disagreement) -> dict[str, str]:
    decision = each.decision
    words = {
        "reply": each.kind.value,
        "domain": decision.domain if decision else "",
        "tenant": decision.tenant if decision else "",
        # Not action=, which begins a line on what was decided.
        "did": decision.action if decision else "",
        "reason": decision.reason if decision else "",
        "receiver": each.receiver,
        "says": each.pattern.says.value,
        "pattern": each.pattern.name,
        "final": "yes" if each.is_final else "no",
    }
    return {name: word for name, word in words.items() if word}


def _words_of_alert(alert: Alert) -> dict[str, str | int]:
    words: dict[str, str | int] = {
        "kind": alert.kind.value,
        "domain": alert.domain,
        "tenant": alert.tenant,
        "receiver": alert.receiver,
        "pattern": alert.pattern.name,
        "messages": alert.messages,
    }
    return {name: word for name, word in words.items() if word}
