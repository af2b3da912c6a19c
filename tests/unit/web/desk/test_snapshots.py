"""The list is read anew while somebody looks, and not while nobody does."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignd.ledger.window.protocol import Obstacle, WindowError
from alignd.ledger.window.reader import LedgerReader
from alignd.web.desk.snapshots import (
    EVERY_SECONDS,
    KEPT_SECONDS,
    LOOKED_SECONDS,
    RECENT_SECONDS,
    SELDOM_SECONDS,
    STALE_SECONDS,
    TIMES,
    Snapshots,
    Unreadable,
    overview_of,
)
from tests.lab.ledger_rows import NOW
from tests.lab.readiness import wait_until
from tests.support.desks import Ledger

AWAY = WindowError(Obstacle.UNREACHABLE, "nobody there")


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.passed = 0.0

    def wall(self) -> float:
        return NOW + self.passed

    def monotonic(self) -> float:
        return self.passed


class Reading:
    """Snapshots, and who takes them."""

    def __init__(self, url: str) -> None:
        self.clock, self.ledger = Clock(), Ledger(url)
        self.told: list[Unreadable | None] = []
        self.snapshots = Snapshots(
            overview_of(LedgerReader(self.ledger)),
            self.told.append,
            self.clock.wall,
            self.clock.monotonic,
        )
        self.thread = threading.Thread(target=self.snapshots.run)


@pytest.fixture
def reading(story: str) -> Iterator[Reading]:
    reading = Reading(story)
    reading.thread.start()
    yield reading
    reading.snapshots.end()
    reading.thread.join()


def test_nothing_is_read_until_somebody_looks(reading: Reading) -> None:
    reading.clock.passed = 3600
    assert reading.ledger.asked == 0
    found = reading.snapshots.latest()
    assert found.snapshot is not None
    assert found.snapshot.total == 4
    assert found.trouble is None
    assert reading.ledger.asked == 1


def test_all_who_look_within_ten_seconds_see_the_same(reading: Reading) -> None:
    first = reading.snapshots.latest().snapshot
    for passed in (1.0, 5.0, EVERY_SECONDS - 0.1):
        reading.clock.passed = passed
        assert reading.snapshots.latest().snapshot is first
    assert reading.ledger.asked == 1
    reading.clock.passed = EVERY_SECONDS
    wait_until(lambda: reading.snapshots.latest().snapshot is not first, "a new one")
    assert reading.ledger.asked == 2


def test_nobody_waits_while_it_is_read_anew(reading: Reading) -> None:
    first = reading.snapshots.latest().snapshot
    with reading.ledger.held():
        reading.clock.passed = EVERY_SECONDS + 1
        assert reading.snapshots.latest().snapshot is first
        wait_until(lambda: reading.ledger.asked == 2, "it to be read")
        assert reading.snapshots.latest().snapshot is first
    wait_until(lambda: reading.snapshots.latest().snapshot is not first, "a new one")


def test_nobody_waits_for_a_ledger_that_has_been_slow_for_a_minute(reading: Reading) -> None:
    first = reading.snapshots.latest().snapshot
    with reading.ledger.held():
        reading.clock.passed = EVERY_SECONDS
        reading.snapshots.latest()
        wait_until(lambda: reading.ledger.asked == 2, "it to be read")
        reading.clock.passed = RECENT_SECONDS + EVERY_SECONDS
        began = time.monotonic()
        for _ in range(50):
            assert reading.snapshots.latest().snapshot is first
        assert time.monotonic() - began < STALE_SECONDS


@pytest.mark.parametrize(
    ("took", "pause"),
    [
        pytest.param(0.4, EVERY_SECONDS, id="quick"),
        pytest.param(2.0, TIMES * 2.0, id="slow"),
        pytest.param(25.0, SELDOM_SECONDS, id="very-slow"),
    ],
)
def test_what_takes_long_is_read_more_seldom(reading: Reading, took: float, pause: float) -> None:
    with reading.ledger.held():
        looking = threading.Thread(target=reading.snapshots.latest)
        looking.start()
        wait_until(lambda: reading.ledger.asked == 1, "it to be read")
        reading.clock.passed = took
    looking.join()
    first = reading.snapshots.latest().snapshot
    reading.clock.passed = took + pause - 0.1
    assert reading.snapshots.latest().snapshot is first
    assert reading.ledger.asked == 1
    reading.clock.passed = took + pause
    wait_until(lambda: reading.snapshots.latest().snapshot is not first, "a new one")


def test_twenty_who_look_at_once_have_it_read_once(reading: Reading) -> None:
    found = []
    looking = [
        threading.Thread(target=lambda: found.append(reading.snapshots.latest().snapshot))
        for _ in range(20)
    ]
    for each in looking:
        each.start()
    for each in looking:
        each.join()
    assert len(found) == 20
    assert len(set(map(id, found))) == 1
    assert reading.ledger.asked == 1


def test_who_looks_again_after_a_night_sees_what_is_so_now(reading: Reading) -> None:
    reading.snapshots.latest()
    reading.clock.passed = LOOKED_SECONDS + KEPT_SECONDS
    found = reading.snapshots.latest().snapshot
    assert found is not None
    assert found.age(reading.clock.wall()) == 0


def test_what_was_read_stays_while_the_ledger_is_away_and_not_for_ever(reading: Reading) -> None:
    first = reading.snapshots.latest().snapshot
    reading.ledger.obstacle = AWAY
    reading.clock.passed = EVERY_SECONDS
    wait_until(lambda: reading.snapshots.latest().trouble, "it to be read")
    found = reading.snapshots.latest()
    assert found.snapshot is first
    assert found.trouble == Unreadable(Obstacle.UNREACHABLE, "nobody there")
    reading.clock.passed = KEPT_SECONDS + 1
    assert reading.snapshots.latest().snapshot is None
    reading.ledger.obstacle = None
    reading.clock.passed += EVERY_SECONDS
    again = reading.snapshots.latest()
    assert again.snapshot is not None
    assert again.trouble is None
    wait_until(lambda: len(reading.told) == 2, "all to be told")
    assert reading.told == [found.trouble, None]


def test_a_bug_is_told_of_and_does_not_end_the_reading(reading: Reading) -> None:
    reading.ledger.obstacle = ValueError("a word of a later alignd")
    trouble = reading.snapshots.latest().trouble
    assert trouble == Unreadable(Obstacle.FAILED, "a bug: ValueError: a word of a later alignd")
    reading.ledger.obstacle = None
    reading.clock.passed = EVERY_SECONDS
    assert reading.snapshots.latest().snapshot is not None


def test_a_ledger_that_was_never_read_is_told_of(reading: Reading) -> None:
    reading.ledger.obstacle = AWAY
    found = reading.snapshots.latest()
    assert found.snapshot is None
    assert found.trouble == Unreadable(Obstacle.UNREACHABLE, "nobody there")


def test_whoever_waits_goes_on_when_it_ends(tmp_path: Path) -> None:
    reading = Reading(f"sqlite:///{tmp_path / 'none.sqlite'}")  # and nobody reads
    waiting = threading.Thread(target=reading.snapshots.latest)
    waiting.start()
    reading.snapshots.end()
    waiting.join(timeout=10)
    assert not waiting.is_alive()
