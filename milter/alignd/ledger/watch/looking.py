"""What one more look at an author domain makes of its state, and which events come of it.

Records that are being changed, nameservers that disagree and caches that are old all make single
looks that say something else. So a look alone changes nothing: two have to agree, some minutes
apart, and the second at the servers of the domain itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum

from alignd.judgement.reasons import Action, Reason
from alignd.ledger.answer import Finding
from alignd.ledger.batch import DAY, HOUR
from alignd.ledger.event import EventKind
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.spf import SpfResult

UNKNOWN_SECONDS = 2.0 * HOUR
"""After this long without an answer of DNS, somebody is told."""
UNCONFIRMED_SECONDS = 2.0 * HOUR
"""After this long, what nameservers say is enough, where no server of a domain can be asked."""
MAX_EVENTS = 4
"""Of a domain in a day; then one more, which says that it is flapping."""
QUIET_SECONDS = 7.0 * DAY
"""A domain without mail for this long is looked at less and less often."""
MAX_SLOWNESS = 24
"""How many times `Pace.watch` lies at most between two looks, without jitter."""
_SLOWNESS_OF_OTHERS = 4  # of domains that are not rewritten
_JITTER = 0.1
_REWRITE: str = Action.REWRITE.value
_DNS_UNKNOWN: str = Reason.DNS_UNKNOWN.value
_DKIM_ALIGNED: str = Reason.DKIM_ALIGNED.value
_TEMPERROR = SpfResult.TEMPERROR.value  # of DKIM too
_CAPPED = frozenset(EventKind) - {EventKind.ANOTHER_TENANT, EventKind.REJECTED}


class Outcome(Enum):
    """What came of a look; its words are those of `LookResult`, or FAILED."""

    SAME = "same"
    CHANGED = "changed"
    """It waits for a second look, or that one agreed."""
    UNKNOWN = "unknown"
    FAILED = "failed"
    """A bug; a look that has a `Looked` did not fail."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often domains are looked at, in seconds."""

    watch: float
    """Between two looks at a domain that is rewritten."""
    confirm: float
    """From the first look that finds something else to the second."""


@dataclass(frozen=True, slots=True)
class State:
    """What is known of an author domain: a row of `STATES`, without what only messages change."""

    finding: Finding
    since: float
    last_seen: float
    looked: float = 0.0
    """When a look last said anything of it that the state is built on; 0 for never."""
    look_at: float = 0.0
    pending: Finding | None = None
    pending_since: float = 0.0
    unknown_since: float = 0.0

    @property
    def is_rewritten(self) -> bool:
        return _rewrites(self.finding)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look has found."""

    at: float
    finding: Finding
    is_authoritative: bool = False
    """Whether the servers of the domain were asked, and no cache."""

    @property
    def is_unknown(self) -> bool:
        return _is_unknown(self.finding)


@dataclass(frozen=True, slots=True)
class Told:
    """An event that there was."""

    at: float
    kind: EventKind


@dataclass(frozen=True, slots=True)
class Change:
    """An event to be."""

    kind: EventKind
    was: Mapping[str, object]
    now: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look makes of a state."""

    state: State
    outcome: Outcome
    changes: tuple[Change, ...] = ()


def after_look(
    state: State, look: Look, told: Sequence[Told], pace: Pace, spread: float = 0.5
) -> Looked:
    """Say what becomes of *state*.

    *told* has the domain's events of the last day, and those since `unknown_since`. *spread*, from
    0 to 1, is drawn: the domains that are looked at in one minute shall not stay together.
    """
    if look.is_unknown:
        return _after_unknown(state, look, told, pace, spread)
    if not state.looked:
        return _after_first(state, look, told, pace, spread)
    found = _completed(look.finding, state.finding)
    if found == state.finding:
        settled = _settled(state, look, pace, spread)
        changes = _known_again(state.unknown_since, settled, told, look.at)
        return Looked(settled, Outcome.SAME, _within_bound(changes, told, look.at))
    if not _is_confirmed(state, look, found, pace):
        return Looked(_waiting(state, look, found, pace), Outcome.CHANGED)
    settled = _settled(_adopted(state, found), look, pace, spread)
    changes = tuple(_changes(state, settled))
    changes = changes or _known_again(state.unknown_since, settled, told, look.at)
    return Looked(settled, Outcome.CHANGED, _within_bound(changes, told, look.at))


def next_look(state: State, at: float, pace: Pace, spread: float) -> float:
    """When to look at a domain again after *at*, if nothing is pending."""
    is_often = state.is_rewritten or state.unknown_since > 0
    interval = pace.watch * (1 if is_often else _SLOWNESS_OF_OTHERS)
    # Whoever sends mail in the name of many domains, each once, shall not be looked after forever.
    quiet = (at - state.last_seen - QUIET_SECONDS) / 24
    interval = min(max(interval, quiet), MAX_SLOWNESS * pace.watch)
    return at + interval * (1 + _JITTER * (2 * spread - 1))


def latest_look(now: float, pace: Pace) -> float:
    """A time that no look is planned after; one that is was planned by another clock or pace."""
    return now + pace.watch * MAX_SLOWNESS * (1 + _JITTER)


def _after_first(
    state: State, look: Look, told: Sequence[Told], pace: Pace, spread: float
) -> Looked:
    """After the first look that says anything: until then, the state is what a message met.

    A message may have met something that is its own, such as an envelope sender elsewhere. So what
    is found here is where the domain starts from, and no change of it.
    """
    found = look.finding
    agrees = _rewrites(found) is state.is_rewritten
    if not agrees and state.finding.reason == _DKIM_ALIGNED:
        # It came with a signature of its own, which no look has: messages go on to say what is.
        look_at = next_look(state, look.at, pace, spread)
        return Looked(replace(state, look_at=look_at), Outcome.SAME)
    is_enough = agrees or _is_unknown(state.finding) or _is_confirmed(state, look, found, pace)
    if not is_enough:
        return Looked(_waiting(state, look, found, pace), Outcome.CHANGED)
    since = state.since if agrees else state.pending_since or look.at
    settled = _settled(replace(state, finding=found, since=since), look, pace, spread)
    changes = _known_again(state.unknown_since, settled, told, look.at)
    outcome = Outcome.SAME if agrees else Outcome.CHANGED
    return Looked(settled, outcome, _within_bound(changes, told, look.at))


def _after_unknown(
    state: State, look: Look, told: Sequence[Told], pace: Pace, spread: float
) -> Looked:
    since = min(state.unknown_since or look.at, look.at)
    unknown = replace(state, unknown_since=since, looked=look.at if state.looked else 0.0)
    look_at = next_look(unknown, look.at, pace, spread)
    if state.pending is not None:
        look_at = min(look_at, _next_try(state.pending_since, look.at, pace))
    changes: tuple[Change, ...] = ()
    if look.at - since >= UNKNOWN_SECONDS and not _is_told_unknown(since, told):
        changes = (
            Change(EventKind.UNKNOWN, _words(state.finding, state.since), _told_unknown(since)),
        )
    changes = _within_bound(changes, told, look.at)
    return Looked(replace(unknown, look_at=look_at), Outcome.UNKNOWN, changes)


def _is_confirmed(state: State, look: Look, found: Finding, pace: Pace) -> bool:
    """Whether this is the second look that has *found* the same, and long enough after."""
    if state.pending is None or _completed(found, state.pending) != state.pending:
        return False
    age = look.at - state.pending_since
    return age >= (
        pace.confirm if look.is_authoritative else max(pace.confirm, UNCONFIRMED_SECONDS)
    )


def _waiting(state: State, look: Look, found: Finding, pace: Pace) -> State:
    """The state while what a look has *found* waits for another one."""
    is_known = state.pending is not None and _completed(found, state.pending) == state.pending
    is_same = is_known and state.pending_since <= look.at
    since = state.pending_since if is_same else look.at
    return replace(
        state,
        looked=look.at if state.looked else 0.0,
        pending=state.pending if is_same else found,
        pending_since=since,
        look_at=_next_try(since, look.at, pace),
    )


def _next_try(pending_since: float, at: float, pace: Pace) -> float:
    """When to look again at what is pending: ever later, as servers may not be in reach at all."""
    return at + max(pace.confirm, min(at - pending_since, pace.watch))


def _settled(state: State, look: Look, pace: Pace, spread: float) -> State:
    settled = replace(state, looked=look.at, pending=None, pending_since=0.0, unknown_since=0.0)
    return replace(settled, look_at=next_look(settled, look.at, pace, spread))


def _adopted(state: State, found: Finding) -> State:
    was = state.finding
    is_new = (was.action, was.reason) != (found.action, found.reason)
    return replace(state, finding=found, since=state.pending_since if is_new else state.since)


def _changes(before: State, after: State) -> Iterator[Change]:
    was, now = before.finding, after.finding
    # What has changed began with the first look, even where the state is older: another policy.
    told = _words(was, before.since), _words(now, before.pending_since)
    if before.is_rewritten is not after.is_rewritten:
        yield Change(EventKind.BEGAN if after.is_rewritten else EventKind.STOPPED, *told)
    partly = Reason.RELAY_PARTLY_AUTHORISED.value
    if now.reason == partly != was.reason:
        yield Change(EventKind.PARTLY, *told)
    if was.policy != now.policy and was.policy and now.policy:
        yield Change(EventKind.POLICY, *told)


def _known_again(
    since: float, state: State, told: Sequence[Told], at: float
) -> tuple[Change, ...]:
    """The end of what was unknown *since* then, if anybody was told of it."""
    if not since or not _is_told_unknown(since, told):
        return ()
    return (Change(EventKind.KNOWN, _told_unknown(since), _words(state.finding, at)),)


def _is_told_unknown(since: float, told: Sequence[Told]) -> bool:
    return any(each.kind is EventKind.UNKNOWN and each.at >= since for each in told)


def _within_bound(
    changes: tuple[Change, ...], told: Sequence[Told], at: float
) -> tuple[Change, ...]:
    """Those of *changes* that a domain may have told of it today."""
    recent = [each.kind for each in told if each.at > at - DAY and each.kind in _CAPPED]
    if EventKind.FLAPPING in recent:
        return ()
    room = max(0, MAX_EVENTS - len(recent))
    if len(changes) <= room:
        return changes
    return (*changes[:room], replace(changes[room], kind=EventKind.FLAPPING))


def _words(finding: Finding, since: float) -> dict[str, object]:
    return {**asdict(finding), "since": since}


def _told_unknown(since: float) -> dict[str, object]:
    return {"reason": _DNS_UNKNOWN, "since": since}


def _rewrites(finding: Finding) -> bool:
    return finding.action == _REWRITE


def _is_unknown(finding: Finding) -> bool:
    return finding.reason == _DNS_UNKNOWN


def _completed(found: Finding, before: Finding) -> Finding:
    """What was *found*, with what was found *before* where DNS did not say and it did not matter.

    The policy of a domain that is exempt may be unknown; it is no other policy for that.
    """
    completed = found
    if found.policy == Policy.UNKNOWN.value:
        completed = replace(completed, policy=before.policy)
    if (found.action, found.reason) == (before.action, before.reason):
        if _TEMPERROR in found.spf.split(","):
            completed = replace(completed, spf=before.spf)
        if _TEMPERROR in found.dkim.split(","):
            completed = replace(completed, dkim=before.dkim)
    return completed
