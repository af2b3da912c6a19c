"""What looks make of the state of an author domain: only what two agree on is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.ledger.answer import Finding
from alignd.ledger.event import EventKind
from alignd.ledger.watch.looking import (
    MAX_EVENTS,
    MAX_SLOWNESS,
    UNCONFIRMED_SECONDS,
    UNKNOWN_SECONDS,
    Change,
    Look,
    Looked,
    Outcome,
    Pace,
    State,
    Told,
    after_look,
    latest_look,
    next_look,
)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
PACE = Pace(watch=HOUR, confirm=5 * MINUTE)
START = 1_800_000_000.0

REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail,fail", "none")
PARTLY = Finding("rewrite", "relay-partly-authorised", "reject", "pass,fail", "none")
PASSES = Finding("pass", "spf-aligned", "reject", "pass,pass", "none")
MILDER = replace(PASSES, policy="none")
UNKNOWN = Finding("rewrite", "dns-unknown", "unknown", "temperror,temperror", "none")
FINDINGS = (REWRITTEN, PARTLY, PASSES, MILDER, UNKNOWN)


@dataclass
class Story:
    """One domain, from its first message on; every look is one more line of it."""

    state: State = field(
        default_factory=lambda: State(REWRITTEN, since=START - DAY, last_seen=START)
    )
    now: float = START
    told: list[Told] = field(default_factory=list)
    changes: list[tuple[float, Change]] = field(default_factory=list)
    looks: list[tuple[Look, Looked]] = field(default_factory=list)

    def look(self, finding: Finding, *, after: float, is_authoritative: bool = True) -> Looked:
        self.now += after
        look = Look(self.now, finding, is_authoritative)
        since = min(self.now - DAY, self.state.unknown_since or self.now)
        recent = [each for each in self.told if each.at >= since]
        looked = after_look(self.state, look, recent, PACE)
        self.state = looked.state
        self.told += [Told(self.now, each.kind) for each in looked.changes]
        self.changes += [(self.now, each) for each in looked.changes]
        self.looks.append((look, looked))
        return looked

    @property
    def kinds(self) -> list[EventKind]:
        return [each.kind for each in self.told]


def story(finding: Finding = REWRITTEN) -> Story:
    """A domain that was looked at once, and is as its first message was."""
    new = Story()
    new.state = replace(new.state, finding=finding)
    new.look(finding, after=0.0)
    assert new.state.looked == START
    return new


@pytest.mark.parametrize(
    ("was", "now", "kinds"),
    [
        pytest.param(REWRITTEN, PASSES, [EventKind.STOPPED], id="the record is published"),
        pytest.param(PASSES, REWRITTEN, [EventKind.BEGAN], id="the record is gone"),
        pytest.param(REWRITTEN, PARTLY, [EventKind.PARTLY], id="it lacks an address"),
        pytest.param(PASSES, MILDER, [EventKind.POLICY], id="the policy is another"),
        pytest.param(
            PASSES, PARTLY, [EventKind.BEGAN, EventKind.PARTLY], id="an address is taken out"
        ),
        pytest.param(
            REWRITTEN, MILDER, [EventKind.STOPPED, EventKind.POLICY], id="both are published"
        ),
        pytest.param(PARTLY, REWRITTEN, [], id="rewritten before and after, which is no news"),
        pytest.param(PASSES, replace(PASSES, dkim="pass"), [], id="a key that changes nothing"),
    ],
)
def test_what_two_looks_agree_on_is_told_with_what_was_and_since_when(
    was: Finding, now: Finding, kinds: list[EventKind]
) -> None:
    domain = story(was)
    assert domain.look(now, after=HOUR, is_authoritative=False).changes == ()
    assert domain.state.finding == was
    assert domain.state.look_at == domain.now + PACE.confirm

    looked = domain.look(now, after=PACE.confirm)

    assert domain.state.finding == now
    assert domain.state.pending is None
    assert [each.kind for each in looked.changes] == kinds
    for change in looked.changes:
        assert change.was["reason"] == was.reason
        assert change.was["since"] == START - DAY
        assert change.now["policy"] == now.policy
        assert change.now["since"] == START + HOUR
    if was.reason != now.reason:
        assert domain.state.since == START + HOUR


def test_the_first_look_is_where_a_domain_starts_from_and_tells_nobody() -> None:
    domain = Story()
    assert domain.look(PASSES, after=MINUTE).outcome is Outcome.CHANGED
    assert domain.state.looked == 0.0  # messages still say what the state is
    assert domain.look(PASSES, after=PACE.confirm).changes == ()
    assert domain.state.finding == PASSES
    assert domain.state.since == START + MINUTE


def test_a_domain_that_dns_did_not_know_when_its_mail_came_starts_with_the_first_answer() -> None:
    domain = Story()
    domain.state = replace(domain.state, finding=UNKNOWN)
    assert domain.look(PASSES, after=MINUTE).changes == ()
    assert domain.state.finding == PASSES
    assert domain.state.since == domain.now


def test_mail_that_is_signed_already_says_what_is_as_no_look_has_its_signature() -> None:
    domain = Story()
    signed = Finding("pass", "dkim-aligned", "reject", "fail,fail", "pass")
    domain.state = replace(domain.state, finding=signed)
    for _ in range(5):
        domain.look(REWRITTEN, after=4 * HOUR)
    assert domain.state.finding == signed
    assert domain.state.looked == 0.0
    assert domain.kinds == []


def test_a_second_look_that_comes_too_soon_or_asks_a_cache_confirms_nothing() -> None:
    domain = story()
    domain.look(PASSES, after=HOUR)
    domain.look(PASSES, after=PACE.confirm - 1)
    domain.look(PASSES, after=2, is_authoritative=False)
    assert domain.state.finding == REWRITTEN
    assert domain.kinds == []


def test_where_no_server_of_a_domain_is_in_reach_nameservers_are_believed_in_the_end() -> None:
    domain = story()
    began = domain.now + HOUR
    domain.look(PASSES, after=HOUR, is_authoritative=False)
    tries = 0
    while domain.state.pending:
        wait = domain.state.look_at - domain.now
        domain.look(PASSES, after=wait, is_authoritative=False)
        tries += 1
    assert domain.kinds == [EventKind.STOPPED]
    assert domain.state.since == began
    assert domain.now - began >= UNCONFIRMED_SECONDS
    assert tries <= 7  # ever later


def test_what_was_there_for_one_look_only_is_forgotten() -> None:
    domain = story()
    domain.look(PASSES, after=HOUR)
    domain.look(REWRITTEN, after=PACE.confirm)
    assert domain.state.pending is None
    domain.look(PASSES, after=PACE.confirm)
    assert domain.kinds == []


def test_the_end_of_an_outage_is_told_only_if_the_outage_was() -> None:
    domain = story()
    domain.look(UNKNOWN, after=HOUR)
    assert domain.state.unknown_since == domain.now
    domain.look(REWRITTEN, after=HOUR)
    assert domain.kinds == []

    began = domain.now + HOUR
    for _ in range(5):
        domain.look(UNKNOWN, after=HOUR)
    assert domain.state.finding == REWRITTEN
    assert domain.kinds == [EventKind.UNKNOWN]
    domain.look(REWRITTEN, after=HOUR)
    assert domain.kinds == [EventKind.UNKNOWN, EventKind.KNOWN]
    (at, unknown), (_, known) = domain.changes
    assert at == began + UNKNOWN_SECONDS
    assert unknown.now["since"] == known.was["since"] == began
    assert (known.now["reason"], known.now["since"]) == (REWRITTEN.reason, domain.now)


def test_an_outage_of_days_is_told_once_and_its_end_too() -> None:
    domain = story()
    for _ in range(100):
        domain.look(UNKNOWN, after=HOUR)
    domain.look(REWRITTEN, after=HOUR)
    assert domain.kinds == [EventKind.UNKNOWN, EventKind.KNOWN]


def test_an_outage_that_ends_with_another_record_tells_that_alone() -> None:
    domain = story()
    for _ in range(4):
        domain.look(UNKNOWN, after=HOUR)
    domain.look(PASSES, after=HOUR)
    domain.look(PASSES, after=PACE.confirm)
    assert domain.kinds == [EventKind.UNKNOWN, EventKind.STOPPED]
    assert domain.state.unknown_since == 0.0


def test_what_flaps_is_said_once_and_heard_of_again_after_a_day() -> None:
    domain = story()
    for turn in range(12):
        finding = REWRITTEN if turn % 2 else PASSES
        domain.look(finding, after=HOUR)
        domain.look(finding, after=PACE.confirm)
        assert domain.state.finding == finding
    changed = [EventKind.STOPPED, EventKind.BEGAN]
    assert domain.kinds == [*changed, *changed, EventKind.FLAPPING]

    domain.look(PASSES, after=DAY)
    domain.look(PASSES, after=PACE.confirm)
    assert domain.kinds[MAX_EVENTS + 1 :] == [EventKind.STOPPED]


@pytest.mark.parametrize("kind", [EventKind.ANOTHER_TENANT, EventKind.REJECTED])
def test_what_dns_does_not_say_leaves_room_for_what_it_says(kind: EventKind) -> None:
    domain = story()
    domain.told += [Told(domain.now, kind)] * (MAX_EVENTS + 2)
    domain.look(PASSES, after=HOUR)
    domain.look(PASSES, after=PACE.confirm)
    assert domain.kinds[-1] is EventKind.STOPPED


def test_an_unknown_policy_of_a_domain_that_passes_all_the_same_is_no_other_policy() -> None:
    exempt = Finding("pass", "exempt", "reject", "pass,pass", "none")
    domain = story(exempt)
    doubtful = replace(exempt, policy="unknown", spf="temperror,pass")
    assert domain.look(doubtful, after=HOUR).outcome is Outcome.SAME
    assert domain.state.finding == exempt


def test_a_clock_that_was_put_back_delays_nothing_for_longer_than_a_look() -> None:
    domain = story()
    domain.look(PASSES, after=HOUR)
    domain.look(PASSES, after=-DAY)
    assert domain.kinds == []
    assert domain.state.pending_since == domain.now
    domain.look(PASSES, after=PACE.confirm)
    assert domain.kinds == [EventKind.STOPPED]


def test_domains_that_are_rewritten_are_looked_at_often_and_quiet_ones_seldom() -> None:
    at = START
    rewritten = State(REWRITTEN, since=at, last_seen=at)
    passing = State(PASSES, since=at, last_seen=at)
    ends = [next_look(rewritten, at, PACE, spread) - at for spread in (0.0, 1.0)]
    assert ends == pytest.approx([0.9 * HOUR, 1.1 * HOUR], abs=0.01)
    assert next_look(passing, at, PACE, 0.5) == at + 4 * HOUR
    quiet = replace(rewritten, last_seen=at - 300 * DAY)
    assert next_look(quiet, at, PACE, 0.5) == at + MAX_SLOWNESS * HOUR
    over_the_weekend = replace(rewritten, last_seen=at - 3 * DAY)
    assert next_look(over_the_weekend, at, PACE, 0.5) == at + HOUR


seconds = st.sampled_from([1.0, 4 * MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR, 4 * HOUR])
looks = st.lists(
    st.tuples(st.sampled_from(FINDINGS), seconds, st.booleans()), min_size=1, max_size=60
)
steady_looks = st.lists(  # findings that last, so that many are agreed on
    st.tuples(st.sampled_from(FINDINGS), st.just(PACE.confirm), st.just(True)), max_size=60
).map(lambda each: [look for look in each for _ in range(2)])
stories = st.one_of(looks, steady_looks)


def told_by(lines: Sequence[tuple[Finding, float, bool]]) -> Story:
    domain = Story()
    for finding, after, is_authoritative in lines:
        domain.look(finding, after=after, is_authoritative=is_authoritative)
    return domain


@given(stories)
def test_nothing_is_told_without_two_looks_that_agree(
    lines: list[tuple[Finding, float, bool]],
) -> None:
    domain = told_by(lines)
    known: list[Look] = []
    for look, looked in domain.looks:
        kinds = {each.kind for each in looked.changes}
        if look.is_unknown:
            assert kinds <= {EventKind.UNKNOWN, EventKind.FLAPPING}
            continue
        # The end of an outage, be it one too many, is no change of what was found.
        ends = {each.was["reason"] == UNKNOWN.reason for each in looked.changes}
        assert len(ends) <= 1
        if False in ends:
            agreeing = _agreeing(known, look)
            assert agreeing
            assert look.at - agreeing[0].at >= PACE.confirm
            is_long = look.at - agreeing[0].at >= UNCONFIRMED_SECONDS
            assert look.is_authoritative or is_long
        known.append(look)


@given(stories)
def test_no_domain_is_told_of_more_often_in_a_day_than_the_bound(
    lines: list[tuple[Finding, float, bool]],
) -> None:
    domain = told_by(lines)
    for first in domain.told:
        day = [each.kind for each in domain.told if first.at <= each.at < first.at + DAY]
        assert day.count(EventKind.FLAPPING) <= 1
        assert len(day) - day.count(EventKind.FLAPPING) <= MAX_EVENTS


@given(stories)
def test_the_state_is_what_two_looks_last_agreed_on(
    lines: list[tuple[Finding, float, bool]],
) -> None:
    domain = told_by(lines)
    known: list[Look] = []
    before: State | None = None
    for look, looked in domain.looks:
        state = looked.state
        if before and before.looked and state.finding != before.finding:
            assert looked.outcome is Outcome.CHANGED
            assert state.finding == look.finding
            assert _agreeing(known, look)
        if not look.is_unknown:
            agreeing = _agreeing(known, look)
            is_second = bool(agreeing) and look.at - agreeing[0].at >= PACE.confirm
            if is_second and look.is_authoritative:
                assert state.finding == look.finding
            known.append(look)
        before = state


@given(stories)
def test_looks_without_an_answer_change_nothing_but_since_when_there_was_none(
    lines: list[tuple[Finding, float, bool]],
) -> None:
    domain = told_by(lines)
    before = Story().state
    for look, looked in domain.looks:
        if look.is_unknown:
            kept = replace(
                looked.state,
                unknown_since=before.unknown_since,
                looked=before.looked,
                look_at=before.look_at,
            )
            assert kept == before
            assert 0 < looked.state.unknown_since <= look.at
        before = looked.state


@given(stories, st.floats(0, 1))
def test_every_look_is_followed_by_another_in_time(
    lines: list[tuple[Finding, float, bool]], spread: float
) -> None:
    state = Story().state
    now = START
    for finding, after, is_authoritative in lines:
        now += after
        state = after_look(state, Look(now, finding, is_authoritative), [], PACE, spread).state
        assert now < state.look_at <= latest_look(now, PACE)
        if state.pending:
            assert state.look_at - now <= max(PACE.watch, PACE.confirm)


def _agreeing(known: Sequence[Look], look: Look) -> list[Look]:
    """The looks right before *look* that found the same."""
    found: list[Look] = []
    for each in reversed(known):
        if each.finding != look.finding:
            break
        found.insert(0, each)
    return found
