"""resolv.conf(5) is read again once it has changed and stays so."""

from pathlib import Path

import pytest

from alignd.config.file import parse_configuration
from alignd.config.nameservers import Nameservers, read_nameservers
from alignd.config.signer import load_signer
from alignd.service.inputs import LOOK_SECONDS, NameserverFollower
from alignd.service.setup import Setup
from tests.support.configtext import BASE


class Follower:
    """A follower with a clock of its own, and what it was heard to read."""

    def __init__(self, path: Path, options: str = "") -> None:
        configuration = parse_configuration(BASE + options, "")
        nameservers = read_nameservers(path)
        self.setup = Setup(configuration, load_signer(configuration.dkim), nameservers)
        self.readings: list[Nameservers] = []
        self.now = 0.0
        self._follower = NameserverFollower(
            lambda _before, now: self.readings.append(now), path, lambda: self.now
        )

    def look(self, times: int = 1) -> list[str]:
        """Let it look, once a second; the nameservers to ask afterwards."""
        for _ in range(times):
            self.now += LOOK_SECONDS
            self.setup = self._follower.follow(self.setup)
        return list(map(str, self.setup.nameservers.servers))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    return path


def test_a_file_that_stays_as_it_is_is_read_once(path: Path) -> None:
    follower = Follower(path)

    assert follower.look(10) == ["192.0.2.1"]
    assert len(follower.readings) == 1  # what came between its first reading and the first look


def test_a_file_in_the_middle_of_being_written_is_not_read(path: Path) -> None:
    follower = Follower(path)
    follower.look(3)

    path.write_text("nameserver 192.0.2.1")  # the rest of the number is still to come
    assert follower.look() == ["192.0.2.1"]
    path.write_text("nameserver 192.0.2.123\n")
    assert follower.look() == ["192.0.2.1"]

    assert follower.look() == ["192.0.2.123"]
    assert len(follower.readings) == 2


def test_a_bad_file_is_read_once_and_a_good_one_heals(path: Path) -> None:
    follower = Follower(path)
    follower.look(3)

    path.unlink()
    assert follower.look(10) == ["192.0.2.1"]
    assert follower.setup.nameservers.is_refused
    path.write_text("nameserver 192.0.2.1\n")
    follower.look(3)

    assert not follower.setup.nameservers.is_refused
    assert [each.is_refused for each in follower.readings] == [False, True, False]


def test_it_looks_once_a_second_however_often_it_is_called(path: Path) -> None:
    follower = Follower(path)
    follower.look(3)
    path.write_text("nameserver 192.0.2.2\n")

    for _ in range(100):
        follower.now += LOOK_SECONDS / 200
        follower.setup = follower._follower.follow(follower.setup)

    assert follower.look(0) == ["192.0.2.1"]


def test_nameservers_of_the_configuration_are_not_followed(path: Path) -> None:
    follower = Follower(path, "[dns]\nnameservers = ['192.0.2.53']\n")

    follower.look(5)

    assert follower.readings == []
