"""Takes a log entry by entry, and returns what is to be told: disagreements, and alerts.

It opens nothing: whoever writes to the ledger, counts or prints takes what `Join.take` returns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache, partial

from alignd.feedback.bounded import Bounded
from alignd.feedback.decision import Decision, read_decision
from alignd.feedback.disagreement import Disagreement, Kind, disagreement_of
from alignd.feedback.entry import Entry
from alignd.feedback.patterns import Pattern, classify
from alignd.feedback.postfix_log import (
    Delivery,
    Status,
    organization_of,
    read_delivery,
    read_notice,
)
from alignd.mailauth.rfc7489 import PublicSuffixes

HOUR = 3600.0
MAX_DECISIONS = 200_000
_MESSAGES = {Kind.OUTAGE: 1, Kind.LOST: 3, Kind.ENVELOPE: 3}
"""Distinct messages within an hour, from one receiver, that are worth an alert."""
_MAX_TOLD = 100_000
_MAX_BOUNCES = 20_000
_MAX_WATCHED = 10_000
_MAX_HOSTS = 10_000


@dataclass(frozen=True, slots=True)
class Alert:
    """A receiver that contradicts what alignd thought, more than by chance."""

    kind: Kind
    tenant: str
    domain: str
    """The author domain of the message that made it one."""
    receiver: str
    messages: int
    """Of the last hour, as far as they had to be counted."""
    when: float
    pattern: Pattern
    """What the receiver said of the last of them."""


class Watch:
    """Says when disagreements are worth an alert: of one receiver at most once an hour."""

    def __init__(self) -> None:
        self._times = Bounded[tuple[str, ...], deque[float]](_MAX_WATCHED)
        self._alerted = Bounded[tuple[str, ...], float](_MAX_WATCHED)

    def note(self, each: Disagreement, now: float) -> Alert | None:
        """Note a message that was not noted before."""
        wanted, decision = _MESSAGES.get(each.kind), each.decision
        if wanted is None or decision is None:
            return None
        # What is rewritten is all from the notifications domain.
        domain = "" if each.kind is Kind.OUTAGE else decision.domain
        key = (each.kind.value, decision.tenant, domain, each.receiver)
        # An entry from the future would silence what is said until then.
        when = now if each.when is None else min(each.when, now)
        times = self._times.get(key) or deque(maxlen=wanted)
        times.append(when)
        self._times[key] = times
        recent = sum(when - HOUR < time <= when for time in times)
        last = self._alerted.get(key)
        if recent < wanted or (last is not None and abs(when - last) < HOUR):
            return None
        self._alerted[key] = when
        return Alert(
            each.kind,
            decision.tenant,
            decision.domain,
            each.receiver,
            recent,
            when,
            each.pattern,
        )


class Join:
    """Joins the deliveries of Postfix with the decisions of alignd, by queue id."""

    def __init__(self, suffixes: PublicSuffixes, max_decisions: int = MAX_DECISIONS) -> None:
        self._organization = lru_cache(_MAX_HOSTS)(partial(organization_of, suffixes=suffixes))
        self._decisions = Bounded[str, Decision](max_decisions)
        self._bounces = Bounded[str, None](_MAX_BOUNCES)
        self._told = Bounded[tuple[str, str, str], None](_MAX_TOLD)
        self._watch = Watch()

    def learn(self, entry: Entry) -> None:
        """Take what was decided, and nothing else: for entries that were taken before."""
        self._learns(entry)

    def take(self, entry: Entry, now: float) -> tuple[Disagreement | Alert, ...]:
        """Take one *entry*; what it says that was not said of the same message before.

        Each message counts once for a receiver and a pattern, however many recipients it has and
        however often Postfix tries again.
        """
        if self._learns(entry):
            return ()
        delivery = read_delivery(entry, self._organization)
        if delivery is None:
            return ()
        if delivery.status is Status.SENT:
            self._follow(delivery)
            return ()
        pattern = classify(delivery.reply, delivery.dsn) if delivery.reply else None
        if pattern is None:
            return ()
        key = (delivery.queue_id, delivery.receiver, pattern.name)
        if key in self._told:
            return ()
        self._told[key] = None
        decision = self._decisions.get(delivery.queue_id)
        is_own = delivery.queue_id in self._bounces
        each = disagreement_of(delivery, pattern, decision, is_own_bounce=is_own)
        alert = self._watch.note(each, now)
        return (each,) if alert is None else (each, alert)

    def _learns(self, entry: Entry) -> bool:
        """Take the entry if it says what a queue id is."""
        if found := read_decision(entry):
            self._decisions[found[0]] = found[1]
        elif bounce := read_notice(entry):
            self._bounces[bounce] = None
        else:
            return False
        return True

    def _follow(self, delivery: Delivery) -> None:
        """Know a message by its next queue id, where a filter behind alignd gives it back."""
        decision = self._decisions.get(delivery.queue_id)
        # alignd's own word on that id, if it saw the message again, came before.
        is_new = delivery.next_queue_id and delivery.next_queue_id not in self._decisions
        if decision is not None and is_new:
            self._decisions[delivery.next_queue_id] = decision
