"""What workers were judging when they died: noted, suspect for a while, and then forgotten."""

import os

import pytest

from alignd.mta import suspects
from alignd.mta.suspects import SUSPECT_SECONDS, Suspects


def test_what_a_dead_worker_was_judging_is_suspect_to_all() -> None:
    shared = Suspects(2)
    pid = os.fork()
    if pid == 0:
        notes = shared.of_worker(0)
        with notes.judging(1), notes.judging(-2):
            with notes.judging(3):
                pass
            os._exit(1)
    os.waitpid(pid, 0)
    other = shared.of_worker(1)
    assert not other.suspect_seconds(1)

    assert shared.worker_ended(0, has_failed=True) == 2

    for notes in (other, shared.of_worker(0)):
        assert SUSPECT_SECONDS - 60 < notes.suspect_seconds(1) <= SUSPECT_SECONDS
        assert notes.suspect_seconds(-2)
        assert not notes.suspect_seconds(3)


def test_what_was_judged_without_harm_is_not_suspect() -> None:
    shared = Suspects(1)
    notes = shared.of_worker(0)
    with pytest.raises(ValueError, match="a bug"), notes.judging(1):
        raise ValueError("a bug")

    assert shared.worker_ended(0, has_failed=True) == 0


def test_a_worker_that_ends_as_it_should_leaves_no_suspects() -> None:
    shared = Suspects(1)
    with shared.of_worker(0).judging(1):
        assert shared.worker_ended(0, has_failed=False) == 0
    assert not shared.of_worker(0).suspect_seconds(1)


def test_suspicion_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "SUSPECT_SECONDS", 0.0)
    shared = Suspects(1)
    with shared.of_worker(0).judging(1):
        shared.worker_ended(0, has_failed=True)

    assert not shared.of_worker(0).suspect_seconds(1)


def test_the_oldest_suspects_make_room() -> None:
    shared = Suspects(1)
    for number in range(1, 3000):
        with shared.of_worker(0).judging(number):
            shared.worker_ended(0, has_failed=True)

    notes = shared.of_worker(0)
    assert not notes.suspect_seconds(1)
    assert notes.suspect_seconds(2999)
    assert sum(notes.suspect_seconds(number) > 0 for number in range(1, 3000)) == 1024


def test_more_judgements_at_once_than_are_noted_are_judged_all_the_same() -> None:
    notes = Suspects(1).of_worker(0)

    def judge(depth: int) -> int:
        if not depth:
            return 0
        with notes.judging(depth):
            return 1 + judge(depth - 1)

    assert [judge(300), judge(300)] == [300, 300]
