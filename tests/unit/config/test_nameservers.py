"""The nameservers to ask: where they are read, and what a bad file changes."""

import os
from pathlib import Path

import pytest

from alignd.config.nameservers import (
    Nameservers,
    ResolverError,
    nameservers_of,
    read_nameservers,
)
from alignd.config.option_types import Nameserver
from alignd.config.settings import DnsOptions

KNOWN = Nameservers((Nameserver("192.0.2.1"),), rotate=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "resolv.conf"


def test_those_of_the_configuration_come_first(path: Path) -> None:
    options = DnsOptions.model_validate({"nameservers": ["192.0.2.53"]})

    assert nameservers_of(options, path) == Nameservers((Nameserver("192.0.2.53"),))


def test_else_those_of_the_system(path: Path) -> None:
    path.write_text("nameserver 192.0.2.53\noptions use-vc rotate\nnameserver x\n")

    found = nameservers_of(DnsOptions(), path)

    assert (found.servers, found.rotate, found.over_tcp) == (
        (Nameserver("192.0.2.53"),),
        True,
        True,
    )
    assert list(map(str, found.problems)) == [f"{path}:3: not an IP address: 'x'"]


def make_directory(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_directory, "cannot be read: Is a directory"),
        (make_pipe, "has no line 'nameserver ADDRESS'"),
        (make_endless, "has no line 'nameserver ADDRESS'"),
        (make_loop, "cannot be read: Too many levels of symbolic links"),
        (make_nothing, "cannot be read: No such file or directory"),
    ],
)
def test_what_stands_in_its_place_is_no_bug_and_changes_nothing(
    path: Path, make: object, problem: str
) -> None:
    assert callable(make)
    make(path)

    with pytest.raises(ResolverError, match=r"no nameserver: .*; set dns.nameservers"):
        read_nameservers(path)
    again = KNOWN.read_again(path)

    assert again.asks_like(KNOWN)
    assert again.is_refused
    assert list(map(str, again.problems)) == [f"{path}:1: {problem}"]
