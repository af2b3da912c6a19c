"""The circuit breaker: it opens for an outage alone, and nothing keeps it open."""

import threading
import time
from collections.abc import Iterator

import pytest

from alignd.resolver import breaker
from alignd.resolver.breaker import (
    OPEN_SECONDS,
    TRIAL_PAUSE_SECONDS,
    UNANSWERED,
    CircuitBreaker,
)
from tests.lab.readiness import wait_until
from tests.support.clock import Clock


class Probe:
    """Probes whose outcomes the test gives, one after the other."""

    def __init__(self) -> None:
        self.begun = 0
        self._outcomes: list[bool | BaseException] = []
        self._given = threading.Semaphore(0)

    def give(self, *outcomes: bool | BaseException) -> None:
        for outcome in outcomes:
            self._outcomes.append(outcome)
            self._given.release()

    def __call__(self) -> bool:
        self.begun += 1
        self._given.acquire()
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    monkeypatch.setattr(breaker, "RETRY_SECONDS", 0.01)
    probe = Probe()
    yield probe
    probe.give(True)  # so that no thread is left


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def circuit(probe: Probe, reports: list[str]) -> CircuitBreaker:
    return CircuitBreaker(probe, reports.append, time.monotonic)


def test_messages_ask_until_a_probe_has_failed(circuit: CircuitBreaker, probe: Probe) -> None:
    circuit.record_timeout("silent.example", time.monotonic())
    wait_until(lambda: probe.begun, "the probe")
    assert not circuit.is_open

    probe.give(False)
    wait_until(lambda: circuit.is_open, "the breaker to open")
    probe.give(True)
    wait_until(lambda: not circuit.is_open, "the breaker to close")


def test_an_answer_during_the_probe_is_as_good(circuit: CircuitBreaker, probe: Probe) -> None:
    circuit.record_timeout("silent.example", time.monotonic())
    wait_until(lambda: probe.begun, "the probe")
    circuit.record_response()
    probe.give(False)

    circuit_is_idle(circuit, probe)
    assert not circuit.is_open


def circuit_is_idle(circuit: CircuitBreaker, probe: Probe) -> None:
    """Wait until no probe runs: then a timeout starts another one."""
    begun = probe.begun

    def begins_again() -> bool:
        circuit.record_timeout("silent.example", time.monotonic())
        return probe.begun > begun

    wait_until(begins_again, "the next probe")


def test_a_probe_that_raises_closes_nothing_and_keeps_nothing_open(
    circuit: CircuitBreaker, probe: Probe, reports: list[str]
) -> None:
    circuit.record_timeout("silent.example", time.monotonic())
    probe.give(False, ValueError("a bug"), ValueError("a bug"))
    wait_until(lambda: probe.begun == 4, "the probes go on")

    assert not circuit.is_open
    probe.give(False)
    wait_until(lambda: circuit.is_open, "the outage to be seen")
    probe.give(True)
    wait_until(lambda: len(reports) == 3, "the end of the outage")
    assert ["down" in reports[0], "ValueError" in reports[1], "back" in reports[2]] == [True] * 3


def test_a_report_that_raises_ends_no_probing(probe: Probe) -> None:
    def fail(_text: str) -> None:
        raise OSError("the log is full")

    circuit = CircuitBreaker(probe, fail, time.monotonic)
    circuit.record_timeout("silent.example", time.monotonic())
    probe.give(False)
    wait_until(lambda: circuit.is_open, "the breaker to open")

    probe.give(True)
    wait_until(lambda: circuit.is_closed, "the breaker to close")


def test_a_thread_that_cannot_be_started_is_started_later(
    circuit: CircuitBreaker, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without_threads:

        def start(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        without_threads.setattr(threading.Thread, "start", start)
        circuit.record_timeout("silent.example", time.monotonic())
    assert not circuit.is_open

    circuit_is_idle(circuit, probe)


def test_one_that_is_ended_probes_no_more(circuit: CircuitBreaker, probe: Probe) -> None:
    circuit.record_timeout("silent.example", time.monotonic())
    probe.give(False)
    wait_until(lambda: circuit.is_open, "the breaker to open")
    circuit.end()
    probe.give(False)

    wait_until(lambda: not circuit.is_open, "the probes to end")
    begun = probe.begun
    circuit.record_timeout("silent.example", time.monotonic())
    assert probe.begun == begun


def prober_is_dead() -> bool:
    return "dns probe" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_whose_prober_has_died_lets_a_message_try(probe: Probe) -> None:
    clock = Clock(1_000.0)
    circuit = CircuitBreaker(probe, print, clock)
    circuit.record_timeout("silent.example", clock())
    probe.give(False)
    wait_until(lambda: circuit.is_open, "the breaker to open")
    probe.give(SystemExit())
    wait_until(prober_is_dead, "the prober to die")
    assert not circuit.may_ask(1.8)

    clock.now += OPEN_SECONDS
    assert [circuit.may_ask(1.8) for _ in range(3)] == [True, False, False]
    circuit.record_response()
    assert all(circuit.may_ask(1.8) for _ in range(3))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_whose_prober_has_died_probes_again(probe: Probe) -> None:
    clock = Clock(1_000.0)
    circuit = CircuitBreaker(probe, print, clock)
    circuit.record_timeout("silent.example", clock())
    probe.give(False, SystemExit())
    wait_until(prober_is_dead, "the prober to die")

    circuit_is_idle(circuit, probe)


def test_a_probe_that_raises_is_counted(probe: Probe) -> None:
    failures: list[None] = []
    circuit = CircuitBreaker(probe, print, time.monotonic, lambda: failures.append(None))
    circuit.record_timeout("silent.example", time.monotonic())
    probe.give(ValueError("a bug"), ValueError("the same bug"))

    wait_until(lambda: len(failures) == 2, "both to be counted")


def times_out(circuit: CircuitBreaker, clock: Clock, *names: str) -> None:
    for name in names:
        circuit.record_timeout(name, clock())


FEW = tuple(f"{number}.example" for number in range(UNANSWERED - 1))


@pytest.fixture
def answered(probe: Probe) -> Probe:
    """Probes that are answered, as by a resolver whose uplink is down."""
    probe.give(*[True] * 20)
    return probe


def test_when_nothing_but_the_probe_is_answered_one_message_at_a_time_asks(
    answered: Probe, reports: list[str]
) -> None:
    clock = Clock(1_000.0)
    circuit = CircuitBreaker(answered, reports.append, clock)
    times_out(circuit, clock, *FEW)
    assert circuit.is_closed

    times_out(circuit, clock, "last.example")
    assert [circuit.may_ask(1.8) for _ in range(3)] == [True, False, False]
    clock.now += 1.8 + TRIAL_PAUSE_SECONDS
    assert [circuit.may_ask(1.8) for _ in range(3)] == [True, False, False]

    circuit.record_response()
    assert all(circuit.may_ask(1.8) for _ in range(3))
    assert ["does not answer" in reports[0], "back after 4 s" in reports[1]] == [True, True]


def test_an_answer_in_between_starts_the_count_anew(answered: Probe) -> None:
    clock = Clock(1_000.0)
    circuit = CircuitBreaker(answered, print, clock)
    times_out(circuit, clock, *FEW)
    circuit.record_response()
    clock.now += 1
    times_out(circuit, clock, *reversed(FEW))

    assert circuit.is_closed


def test_what_was_asked_before_an_answer_does_not_count(answered: Probe) -> None:
    clock = Clock(1_000.0)
    circuit = CircuitBreaker(answered, print, clock)
    asked = clock()
    clock.now += 1
    circuit.record_response()
    for name in (*FEW, "last.example"):
        circuit.record_timeout(name, asked)

    assert circuit.is_closed


def test_one_owner_s_names_count_once(answered: Probe) -> None:
    clock = Clock(1_000.0)
    circuit = CircuitBreaker(answered, print, clock)
    times_out(circuit, clock, *(f"{number}.a.silent.example" for number in range(100)))

    assert circuit.is_closed
