"""The nameservers to ask: where they are read, and what a bad file changes."""

import os
import socket
from pathlib import Path

import pytest

from alignd.config.option_types import Nameserver
from alignd.config.settings import DnsOptions
from alignd.resolver.nameservers import (
    Nameservers,
    ResolverError,
    nameservers_of,
    read_nameservers,
)
from alignd.resolver.socket_address import SocketAddress, socket_address, source

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


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        pytest.param(("127.0.0.1", 53), ("127.0.0.1", 53), True, id="ipv4"),
        pytest.param(("127.0.0.1", 53), ("127.0.0.1", 54), False, id="another-port"),
        pytest.param(("::7f00:1", 53, 0, 0), ("::127.0.0.1", 53, 0, 0), True, id="a-spelling"),
        pytest.param(("fe80::1", 53, 0, 2), ("fe80::1%x", 53, 0, 2), True, id="with-interface"),
        pytest.param(("fe80::1", 53, 0, 2), ("fe80::1", 53, 0, 3), False, id="another-interface"),
        pytest.param(("2001:db8::1", 53, 0, 2), ("2001:db8::1", 53, 0, 0), True, id="global"),
    ],
)
def test_who_sent_an_answer(one: SocketAddress, other: SocketAddress, is_same: bool) -> None:
    assert (source(one) == source(other)) is is_same


@pytest.mark.parametrize(
    ("scope", "number"), [("", 0), ("lo", 1), ("7", 7)], ids=["none", "name", "number"]
)
def test_the_interface_of_a_nameserver(scope: str, number: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        address = socket_address(Nameserver("fe80::53", 53, scope), sock)

    assert address == ("fe80::53", 53, 0, number)


@pytest.mark.parametrize(
    "scope", ["nowhere0", "a-name-that-is-too-long", "\N{GREEK SMALL LETTER PI}"]
)
def test_an_interface_that_is_not_there(scope: str) -> None:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock,
        pytest.raises(OSError, match="no"),
    ):
        socket_address(Nameserver("fe80::53", 53, scope), sock)
