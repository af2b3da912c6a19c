"""Sockets for when no descriptor is left: lent to one at a time, and as good as new each time."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from alignd.resolver.spare_sockets import SpareSockets
from tests.lab.nameserver import Nameserver

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM


@pytest.fixture
def spare() -> Iterator[SpareSockets]:
    spare = SpareSockets([socket.AF_INET])
    yield spare
    spare.close()


def lend_all(spare: SpareSockets, kind: socket.SocketKind) -> list[socket.socket]:
    """Borrow and give back each of one kind."""
    with ExitStack() as lent:
        sockets = []
        while True:
            try:
                sockets.append(lent.enter_context(spare.borrow(socket.AF_INET, kind, 0)))
            except OSError:
                return sockets


def test_each_is_lent_to_one_at_a_time_and_then_again(spare: SpareSockets) -> None:
    for kind in (UDP, TCP):
        sockets = lend_all(spare, kind)

        assert len(sockets) == len(set(sockets)) >= 4
        assert set(lend_all(spare, kind)) == set(sockets)


def test_each_query_leaves_from_a_port_of_its_own(
    spare: SpareSockets, nameserver: Nameserver
) -> None:
    ports = set()
    for _ in range(40):
        with spare.borrow(socket.AF_INET, UDP, 0) as udp:
            udp.sendto(b"no query", ("127.0.0.1", nameserver.port))
            ports.add(udp.getsockname()[1])

    assert len(ports) > 20


def test_a_connection_ends_with_its_use(spare: SpareSockets, nameserver: Nameserver) -> None:
    for _ in range(20):
        with spare.borrow(socket.AF_INET, TCP, 0) as tcp:
            tcp.connect(("127.0.0.1", nameserver.port))
            assert tcp.getpeername()[1] == nameserver.port


def test_one_that_is_lent_is_closed_when_it_comes_back(spare: SpareSockets) -> None:
    with spare.borrow(socket.AF_INET, UDP, 0) as lent:
        spare.close()
        assert lent.fileno() > 0

    assert lent.fileno() == -1
    with (
        pytest.raises(OSError, match="no descriptor is left"),
        spare.borrow(socket.AF_INET, UDP, 0),
    ):
        pass


def test_there_is_none_of_a_family_that_nobody_asked_for(spare: SpareSockets) -> None:
    with (
        pytest.raises(OSError, match="no descriptor is left"),
        spare.borrow(socket.AF_INET6, UDP, 0),
    ):
        pass
