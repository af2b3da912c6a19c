"""What several want at the same moment is done once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from alignd.resolver.single_flight import SingleFlight

PATIENCE = 20.0  # seconds


class Key:
    """The one key, which tells when somebody else has come for it."""

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
    raise AssertionError("done twice")


def fly_together(flights: Flights, work: Callable[[], str]) -> tuple[Outcome, Outcome]:
    """Have *work* done once somebody else waits for it; what came of it for both."""
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


def test_others_get_what_the_first_finds() -> None:
    first, second = fly_together(SingleFlight(), lambda: "found")

    assert (first.result(), second.result()) == (("found", True), ("found", False))


def test_who_waits_hears_of_the_failure_too() -> None:
    def fail() -> str:
        raise LookupError("of the first")

    for outcome in fly_together(SingleFlight(), fail):
        with pytest.raises(LookupError, match="of the first"):
            outcome.result()


def test_it_is_done_anew_once_it_was_done() -> None:
    flights: SingleFlight[str, str] = SingleFlight()

    assert flights.run("key", lambda: "old", PATIENCE) == ("old", True)
    assert flights.run("key", lambda: "new", PATIENCE) == ("new", True)


def test_nobody_waits_for_longer_than_he_can() -> None:
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
