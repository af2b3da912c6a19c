"""What is remembered of nameservers: for how long, of how many, and how long to wait for one."""

import pytest

from alignd.config.option_types import Nameserver
from alignd.resolver.nameserver_states import (
    DEMOTED_SECONDS,
    PROTOCOL_SECONDS,
    Condition,
    NameserverStates,
    Protocol,
)
from alignd.resolver.round_trips import MAX_WAIT, MIN_WAIT, RoundTrips

FIRST, SECOND = Nameserver("192.0.2.1"), Nameserver("192.0.2.2")
BUDGET = 1.8  # seconds, of a message


class Clock:
    """Monotonic seconds, as a test wants them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def states(clock: Clock) -> NameserverStates:
    return NameserverStates(clock=clock)


def waits(*round_trips: float) -> float:
    measured = RoundTrips()
    for seconds in round_trips:
        measured.add(seconds)
    return measured.wait(BUDGET)


@pytest.mark.parametrize(
    ("round_trips", "least", "most"),
    [
        pytest.param([], 0.3, 0.3, id="never-heard"),
        pytest.param([0.0005] * 10, MIN_WAIT, MIN_WAIT, id="quick"),
        pytest.param([0.5] * 10, 0.5, 0.8, id="steady"),
        pytest.param([1.0], MAX_WAIT, MAX_WAIT, id="slow"),
        pytest.param([1.0] * 20, 1.0, MAX_WAIT, id="slow-and-steady"),
        pytest.param([0.001] * 10 + [1.0], 1.0, MAX_WAIT, id="quick-and-once-slow"),
        pytest.param([0.001, 0.3] * 10, 0.4, MAX_WAIT, id="now-and-then"),
        pytest.param([1.0] + [0.001] * 40, MIN_WAIT, MIN_WAIT, id="slow-long-ago"),
    ],
)
def test_an_answer_is_overdue_after_what_round_trips_tell(
    round_trips: list[float], least: float, most: float
) -> None:
    assert least <= waits(*round_trips) <= most


@pytest.mark.parametrize("left", [0.3, 0.45, 1.0, 1.8, 10.0])
def test_one_that_was_never_heard_is_asked_in_three_ways_in_half_of_the_time(left: float) -> None:
    wait = RoundTrips().wait(left)

    assert wait + 2 * wait <= left / 2 + 0.001


def test_what_it_understands_is_forgotten_after_a_while(
    states: NameserverStates, clock: Clock
) -> None:
    states.answered(FIRST, Protocol.PLAIN)
    assert states.protocol(FIRST) is Protocol.PLAIN

    clock.now += PROTOCOL_SECONDS

    assert states.protocol(FIRST) is Protocol.UNKNOWN


def test_one_answer_that_contradicts_makes_it_unknown(states: NameserverStates) -> None:
    for protocol, known in [
        (Protocol.EDNS, Protocol.EDNS),
        (Protocol.PLAIN, Protocol.UNKNOWN),
        (Protocol.PLAIN, Protocol.PLAIN),
    ]:
        states.answered(FIRST, protocol)

        assert states.protocol(FIRST) is known


def test_one_that_fails_gets_its_place_back(states: NameserverStates, clock: Clock) -> None:
    states.unreachable(FIRST)
    assert states.in_order((FIRST, SECOND)) == [SECOND, FIRST]

    clock.now += DEMOTED_SECONDS

    assert states.in_order((FIRST, SECOND)) == [FIRST, SECOND]
    assert states.failing((FIRST, SECOND)) == 1  # until it answers


def test_failures_of_single_questions_do_not_count(states: NameserverStates) -> None:
    for _ in range(5):
        states.refused(FIRST)
        states.silent(FIRST)
        states.silent(FIRST)
        states.answered(FIRST, Protocol.EDNS)

    assert states.in_order((FIRST, SECOND)) == [FIRST, SECOND]
    assert states.failing((FIRST, SECOND)) == 0


def test_all_that_fail_stay_in_order(states: NameserverStates) -> None:
    for each in (SECOND, FIRST):
        states.unreachable(each)

    assert states.in_order((FIRST, SECOND)) == [FIRST, SECOND]


def test_a_snapshot_tells_how_each_is(states: NameserverStates) -> None:
    states.answered(FIRST, Protocol.EDNS, 0.02)
    states.gone(SECOND)

    first, second = states.snapshot()

    assert (first.condition, first.protocol) == (Condition.ANSWERS, Protocol.EDNS)
    assert first.round_trip == 0.02
    assert (second.condition, second.round_trip) == (Condition.UNREACHABLE, None)
    assert [first.is_failing, second.is_failing] == [False, True]


def test_one_that_is_gone_is_believed_after_a_restart_would_be_over(
    states: NameserverStates, clock: Clock
) -> None:
    states.gone(FIRST)
    clock.now += 1
    assert not states.is_gone(FIRST)

    clock.now += 2
    states.gone(FIRST)
    assert states.is_gone(FIRST)

    states.answered(FIRST, Protocol.EDNS)
    states.gone(FIRST)
    assert not states.is_gone(FIRST)


def test_nameservers_of_the_past_are_forgotten(states: NameserverStates) -> None:
    for number in range(1000):
        states.answered(Nameserver(f"192.0.2.{number}"), Protocol.EDNS)

    assert len(states.snapshot()) <= 64
