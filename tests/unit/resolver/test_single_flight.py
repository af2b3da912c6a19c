"""Identical calls at the same time run once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from alignd.resolver.single_flight import SingleFlight

PATIENCE = 20.0  # seconds


class Key:
    """The only key; sets *met* when a second caller looks it up."""

    def __init__(self, met: threading.Event) -> None:
        self._met = met

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        self._met.set()
        return True


Flights = SingleFlight[Key, str]
Outcome = Future[tuple[str, bool]]


def unwanted() -> str:
    raise AssertionError("run twice")


def run_together(flights: Flights, work: Callable[[], str]) -> tuple[Outcome, Outcome]:
    """Call twice, and let *work* run once the second call waits; the outcomes of both."""
    begun, met = threading.Event(), threading.Event()

    def awaited_work() -> str:
        begun.set()
        assert met.wait(PATIENCE)
        return work()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(flights.run, Key(met), awaited_work, PATIENCE)
        assert begun.wait(PATIENCE)
        second = pool.submit(flights.run, Key(met), unwanted, PATIENCE)
        return first, second


def test_the_others_get_the_result_of_the_first() -> None:
    first, second = run_together(SingleFlight(), lambda: "found")

    assert (first.result(), second.result()) == (("found", True), ("found", False))


def test_a_failure_is_raised_in_every_caller() -> None:
    def fail() -> str:
        raise LookupError("of the first")

    for outcome in run_together(SingleFlight(), fail):
        with pytest.raises(LookupError, match="of the first"):
            outcome.result()


def test_a_later_call_runs_again() -> None:
    flights: SingleFlight[str, str] = SingleFlight()

    assert flights.run("key", lambda: "old", PATIENCE) == ("old", True)
    assert flights.run("key", lambda: "new", PATIENCE) == ("new", True)


def test_a_caller_waits_no_longer_than_its_patience() -> None:
    flights: SingleFlight[str, str] = SingleFlight()

    def work() -> str:
        with ThreadPoolExecutor() as pool:
            second = pool.submit(flights.run, "key", unwanted, 0.01)
            third = pool.submit(flights.run, "another key", lambda: "alone", PATIENCE)
            with pytest.raises(TimeoutError):
                second.result(PATIENCE)
            assert third.result(PATIENCE) == ("alone", True)
        return "found"

    assert flights.run("key", work, PATIENCE) == ("found", True)
