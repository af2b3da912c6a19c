"""resolv.conf(5) and key files are read again once they have changed and stay so."""

from pathlib import Path

import pytest

from alignd.config.file import parse_configuration
from alignd.config.nameservers import Nameservers, nameservers_of, read_nameservers
from alignd.config.signer import load_signer
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.key_file import ReadKeys, read_keys
from alignd.service.inputs import LOOK_SECONDS, KeyFollower, NameserverFollower
from alignd.service.setup import Leg, Setup
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


KEY, OTHER = (f"{state} {octet * 32}\n" for state, octet in (("sign", "6b"), ("accept", "7c")))


class KeysFollowed:
    """A follower of a key file, with a clock of its own, and what it was heard to read."""

    def __init__(self, path: Path, leg: Leg = Leg.RETURN) -> None:
        configuration = parse_configuration(f'{BASE}[return]\nkeys = "{path}"\n', "")
        signer = load_signer(configuration.dkim)
        servers = nameservers_of(configuration.dns)
        self._path = str(path)
        self.setup = Setup(configuration, signer, servers, leg=leg).with_keys(
            {self._path: read_keys(self._path, None)}
        )
        self.readings: list[ReadKeys] = []
        self.now = 0.0
        self._follower = KeyFollower(
            lambda _path, _before, now: self.readings.append(now), lambda: self.now
        )

    def look(self, times: int = 1) -> int:
        """Let it look, once a second; the number of keys in force afterwards, -1 for trouble."""
        for _ in range(times):
            self.now += LOOK_SECONDS
            self.setup = self._follower.follow(self.setup)
        read = self.setup.keys[self._path]
        (domain,) = self.setup.directory.domains.values()
        assert domain.keyring == read.keyring
        return -1 if isinstance(read.keyring, KeyTrouble) else len(read.keyring.keys)

    @property
    def problem(self) -> str:
        return self.setup.keys[self._path].problem


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text(KEY)
    return path


def test_keys_are_read_again_when_their_file_rests_after_a_change(key_file: Path) -> None:
    followed = KeysFollowed(key_file)
    assert followed.look(3) == 1

    key_file.write_text(KEY + OTHER[:30])
    assert followed.look() == 1
    key_file.write_text(KEY + OTHER)
    assert followed.look() == 1

    assert followed.look() == 2
    assert not followed.problem


@pytest.mark.parametrize("text", ["", "sign", KEY + KEY, OTHER], ids=repr)
def test_bad_keys_leave_those_of_before_in_force(key_file: Path, text: str) -> None:
    followed = KeysFollowed(key_file)
    key_file.write_text(text)

    assert followed.look(3) == 1
    assert followed.problem.startswith(f"{key_file}:")
    key_file.write_text(KEY + OTHER)

    assert followed.look(3) == 2
    assert not followed.problem


def test_keys_that_others_can_read_are_bad(key_file: Path) -> None:
    followed = KeysFollowed(key_file)
    followed.look(3)

    key_file.chmod(0o644)

    assert followed.look(3) == 1
    assert "its mode is 0644" in followed.problem


def test_keys_that_were_never_there_are_trouble_until_they_come(key_file: Path) -> None:
    key_file.unlink()
    followed = KeysFollowed(key_file)
    assert followed.look(3) == -1

    key_file.touch(0o600)
    key_file.write_text(KEY)

    assert followed.look(3) == 1
    assert [bool(each.problem) for each in followed.readings] == [True, False]


def test_the_outbound_leg_does_not_follow_keys(key_file: Path) -> None:
    followed = KeysFollowed(key_file, Leg.OUTBOUND)

    key_file.write_text(KEY + OTHER)

    assert followed.look(5) == 1
    assert followed.readings == []
