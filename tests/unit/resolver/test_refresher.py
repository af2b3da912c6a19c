"""Questions asked in the background: bounded, each once, whatever becomes of a thread."""

import threading
from collections.abc import Iterator

import pytest

from alignd.mailauth.dns import RecordType
from alignd.resolver.cache import Question
from alignd.resolver.refresher import AT_ONCE, MAX_WAITING, Refresher
from tests.lab.readiness import wait_until


def question(number: int) -> Question:
    return f"{number}.example", RecordType.TXT


class Asker:
    """Asks as long as the test likes, and may raise."""

    def __init__(self) -> None:
        self.begun: list[Question] = []
        self.done: list[Question] = []
        self.raises: BaseException | None = None
        self.may_go_on = threading.Event()

    def __call__(self, question: Question) -> None:
        self.begun.append(question)
        assert self.may_go_on.wait(30)
        if self.raises:
            raise self.raises
        self.done.append(question)


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def refresher(asker: Asker, failures: list[str]) -> Iterator[Refresher]:
    refresher = Refresher(asker, failures.append)
    yield refresher
    asker.may_go_on.set()
    refresher.end()


def test_a_few_are_asked_at_the_same_time_and_none_twice(
    refresher: Refresher, asker: Asker
) -> None:
    for number in range(3 * AT_ONCE):
        for _ in range(2):
            refresher.put(question(number))
    wait_until(lambda: len(asker.begun) == AT_ONCE, "as many as may")
    asker.may_go_on.set()

    wait_until(lambda: len(asker.done) >= 3 * AT_ONCE, "all of them")
    assert sorted(asker.done) == sorted(map(question, range(3 * AT_ONCE)))


def test_they_do_not_pile_up(refresher: Refresher, asker: Asker) -> None:
    for number in range(2 * MAX_WAITING):
        refresher.put(question(number))
    asker.may_go_on.set()

    wait_until(lambda: len(asker.done) == MAX_WAITING, "those that found a place")
    refresher.put(question(2 * MAX_WAITING))
    wait_until(lambda: len(asker.done) == MAX_WAITING + 1, "one that finds it now")


def test_one_that_has_been_asked_may_be_asked_again(refresher: Refresher, asker: Asker) -> None:
    asker.may_go_on.set()
    for times in (1, 2):
        refresher.put(question(1))
        wait_until(lambda times=times: len(asker.done) == times, "the answer")  # type: ignore[misc]


def test_an_exception_is_survived_and_told(
    refresher: Refresher, asker: Asker, failures: list[str]
) -> None:
    asker.raises = OSError("no descriptor left")
    asker.may_go_on.set()
    refresher.put(question(1))
    wait_until(lambda: failures == ["OSError"], "it to be told")

    asker.raises = None
    refresher.put(question(1))
    wait_until(lambda: asker.done, "the same question to be asked again")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_threads_that_have_died_are_replaced(refresher: Refresher, asker: Asker) -> None:
    asker.raises = SystemExit()
    for number in range(3 * AT_ONCE):
        refresher.put(question(number))
    before = set(threading.enumerate())
    asker.may_go_on.set()
    wait_until(lambda: len(asker.begun) == AT_ONCE, "all threads to die")
    wait_until(lambda: len(before & set(threading.enumerate())) <= len(before) - AT_ONCE, "them")

    asker.raises = None
    refresher.put(question(0))
    wait_until(lambda: question(0) in asker.done, "another thread to ask")


def test_a_thread_that_cannot_be_started_is_started_later(
    refresher: Refresher, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker.may_go_on.set()
    with monkeypatch.context() as without_threads:

        def start(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        without_threads.setattr(threading.Thread, "start", start)
        refresher.put(question(1))

    refresher.put(question(1))
    wait_until(lambda: asker.done, "the question to be asked")


def test_one_that_has_ended_asks_no_more(refresher: Refresher, asker: Asker) -> None:
    asker.may_go_on.set()
    before = set(threading.enumerate())
    refresher.put(question(1))
    wait_until(lambda: asker.done, "the question to be asked")
    refresher.end()

    refresher.put(question(2))
    wait_until(lambda: set(threading.enumerate()) <= before, "its threads to end")
    assert asker.begun == [question(1)]
