"""Metrics: each event counts in its series, and every series exists from the start."""

import math

import pytest

from alignd.judgement.reasons import Reason
from alignd.telemetry.metrics import BUCKETS, CAUSES, Cause, Metrics, ServiceState
from alignd.telemetry.words import Reload
from tests.support.case import Case
from tests.support.selection import CASES


def answer(metrics: Metrics, reason: Reason, seconds: float = 0.001) -> None:
    worker = metrics.of_worker(0)
    worker.answered(worker.column_of(reason), seconds)


def counted(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    (numbers,) = (numbers for family, numbers in metrics.families() if family.name == name)
    return {values: number for values, number in numbers.items() if number}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.stem)
def test_what_a_case_expects_is_there_before_it_counts(case: Case) -> None:
    (messages,) = (
        numbers
        for family, numbers in Metrics(1).families()
        if family.name == "alignd_messages_total"
    )

    assert messages[case.expected_action, case.expected_reason] == 0


def test_a_message_counts_by_its_reason_and_the_action_of_that() -> None:
    metrics = Metrics(1)

    answer(metrics, Reason.UNALIGNED)

    assert counted(metrics, "alignd_messages_total") == {("rewrite", "unaligned"): 1}


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        pytest.param(0.0, 0.0001, id="no-time"),
        pytest.param(0.0001, 0.0001, id="a-bound-is-within"),
        pytest.param(0.00011, 0.00025, id="above-a-bound"),
        pytest.param(5.0, 5.0, id="the-last-bound"),
        pytest.param(60.0, math.inf, id="longer-than-all"),
    ],
)
def test_the_decision_time_is_within_its_bound(seconds: float, bound: float) -> None:
    metrics = Metrics(1)

    answer(metrics, Reason.EXEMPT, seconds)

    within, total = metrics.decision_time()
    assert list(within) == [*BUCKETS, math.inf]
    assert {limit for limit, number in within.items() if number} == {
        limit for limit in within if limit >= bound
    }
    assert total == seconds


@pytest.mark.parametrize("cause", CAUSES)
def test_fallbacks_have_a_series_each(cause: Cause) -> None:
    metrics = Metrics(2)

    metrics.of_worker(0).degraded(cause)
    metrics.of_worker(1).degraded(cause)

    assert counted(metrics, "alignd_fallbacks_total") == {(cause.value,): 2}


def test_an_error_of_ours_is_a_message_and_a_fallback() -> None:
    metrics = Metrics(1)

    metrics.of_worker(0).failed()

    assert counted(metrics, "alignd_messages_total") == {("tempfail", "internal-error"): 1}
    assert counted(metrics, "alignd_fallbacks_total") == {("tempfail",): 1}


def test_the_state_is_read_as_it_was_written() -> None:
    metrics = Metrics(3)
    state = ServiceState(workers_wanted=3, workers_ready=2, is_ending=True, updated=12.5)

    metrics.write_state(state)

    assert metrics.read_state() == state


def test_the_last_reload_is_told_from_those_before() -> None:
    metrics = Metrics(1)

    for result, successful in ((Reload.REFUSED, 0), (Reload.DONE, 1)):
        metrics.reloaded(result)
        last = counted(metrics, "alignd_configuration_last_reload_successful")
        assert sum(last.values()) == successful
    assert sum(counted(metrics, "alignd_configuration_reloads_total").values()) == 2
