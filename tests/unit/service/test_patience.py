"""Pauses between attempts grow, trouble is told once, and silence counts while one listens."""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from alignd.service.processes.patience import Attempts, Silence
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from alignd.telemetry.words import ChildKind


class Setting:
    """Attempts to start workers, at times of our own."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path = path
        self.now = 1000.0
        self.metrics = Metrics(1)
        self.attempts = Attempts(
            ChildKind.WORKER,
            lambda: self.now,
            MessageLog(stream),
            self.metrics.of_supervisor(),
        )

    def pause(self) -> float:
        """Wait until the next attempt is due; the seconds."""
        began = self.now
        while not self.attempts.are_due:
            self.now += 0.5
        return self.now - began

    def log(self) -> list[str]:
        return self._path.read_text().splitlines()

    def failures(self) -> float:
        values = {family.name: values for family, values in self.metrics.families()}
        return values["alignd_process_start_failures_total"][("worker",)]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with (tmp_path / "log").open("a") as stream:
        yield Setting(tmp_path / "log", stream)


def fail(setting: Setting, problem: str) -> float:
    setting.attempts.begin()
    setting.attempts.failed(problem)
    return setting.pause()


def test_the_first_attempt_is_due_at_once_and_another_a_second_later(setting: Setting) -> None:
    assert setting.pause() == 0
    setting.attempts.begin()
    assert setting.pause() == 1
    assert setting.log() == []


def test_pauses_double_up_to_ten_seconds_and_start_anew_after_a_success(setting: Setting) -> None:
    assert [fail(setting, "no room") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    setting.attempts.succeeded()
    assert fail(setting, "no room") == 1


def test_several_failures_of_one_attempt_lengthen_the_pause_once(setting: Setting) -> None:
    setting.attempts.begin()
    for _ in range(8):
        setting.attempts.failed("no room")

    assert setting.pause() == 1
    assert setting.failures() == 8


def test_each_kind_of_trouble_is_told_once_and_once_that_it_is_over(setting: Setting) -> None:
    for problem in ("no process", "no descriptor", "no process", "no descriptor"):
        fail(setting, problem)
    setting.attempts.succeeded()
    setting.attempts.succeeded()

    failed = "process cannot be started: it is tried again process=worker problem="
    assert setting.log() == [
        f'{failed}"no process"',
        f'{failed}"no descriptor"',
        "process is started again process=worker seconds=15.0",
    ]
    fail(setting, "no process")
    assert setting.log()[-1] == f'{failed}"no process"'


def test_silence_lasts_until_something_is_heard() -> None:
    silence = Silence(100.0)
    assert [silence.look(now) for now in (101.0, 103.0)] == [1.0, 3.0]
    silence.end()
    assert silence.look(104.0) == 1.0


def test_a_silence_of_the_whole_service_is_nobodys() -> None:
    silence = Silence(100.0)
    assert silence.look(101.0) == 1.0
    assert silence.look(4000.0) == 4.0  # a virtual machine was paused
