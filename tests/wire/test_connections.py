"""Connections that say too little: they are cut, and do not keep others out."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.lab.milter_client import MilterConnection, Result
from tests.lab.nameserver import Nameserver
from tests.lab.protocol import Reply
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

AGENT = "marky.mark@mycompany.com"
MESSAGE = f"From: Marky Mark <{AGENT}>\r\n\r\nHello\r\n".encode()
MANY = 2_000
AT_ONCE = 1_000  # this process needs a descriptor for each
BEGINNINGS = (b"", struct.pack("!I", 13) + b"O")  # nothing, and the first half of a negotiation
FEW = ("prlimit", "--nofile=256")
ONE = "[milter]\nworkers = 1\n"
Start = Callable[..., Watched]


@pytest.fixture
def start(nameserver: Nameserver) -> Iterator[Start]:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'))
    with open_directory() as directory, ExitStack() as running:

        def start(changes: str, **how: Any) -> Watched:
            place: Path = directory / "alignd"
            return running.enter_context(run_watched(place, nameserver.address, changes, **how))

        yield start


class Flood:
    """Connections that say nothing, or half a packet, and wait until they are cut."""

    def __init__(self, connect: Callable[[], socket.socket], count: int) -> None:
        self._connect = connect
        self._count = count
        self._open: list[socket.socket] = []
        self._cut = 0
        self.is_ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_ended.set()
        self._thread.join(timeout=30)
        for each in self._open:
            each.close()

    def _run(self) -> None:
        for number in range(self._count):
            if self.is_ended.is_set():
                return
            try:
                connection = self._connect()
                self._open.append(connection)
                connection.sendall(BEGINNINGS[number % len(BEGINNINGS)])
            except BrokenPipeError:
                pass  # cut before it could say so much
            if len(self._open) >= AT_ONCE:
                self.cut_so_far()
        self.is_ended.set()

    def cut_so_far(self) -> int:
        """How many were cut; they are closed here, too."""
        cut = [each for each in self._open if _is_cut(each)]
        for each in cut:
            each.close()
        self._open = [each for each in self._open if each.fileno() >= 0]
        self._cut += len(cut)
        return self._cut


def _is_cut(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def send(mta: MilterConnection) -> Result:
    return mta.send(AGENT, ("julia@customer.example",), MESSAGE)


def is_answered(spec: str) -> bool:
    with MilterConnection(spec) as mta:
        return send(mta).accepted


@pytest.fixture(params=["unix", "tcp"])
def flooded(request: pytest.FixtureRequest, start: Start) -> Iterator[tuple[Watched, str, Flood]]:
    """One worker with few descriptors, the socket, and what is about to take them all."""
    with ExitStack() as opened:
        if request.param == "unix":
            watched = start(ONE, under=FEW)
            spec = watched.alignd.socket
            path = spec.partition(":")[2]

            def connect() -> socket.socket:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(20)
                connection.connect(path)
                return connection
        else:
            server = socket.create_server(("127.0.0.1", 0), backlog=512)
            address = opened.enter_context(closing(server)).getsockname()
            watched = start(ONE, under=FEW, listening=server)
            spec = f"inet:127.0.0.1:{address[1]}"

            def connect() -> socket.socket:
                return socket.create_connection(address, timeout=20)

        yield watched, spec, Flood(connect, MANY)


def test_mail_flows_while_thousands_of_connections_say_nothing(
    flooded: tuple[Watched, str, Flood],
) -> None:
    watched, spec, flood = flooded
    with MilterConnection(spec) as session, flood:
        while not flood.is_ended.is_set():
            assert send(session).accepted
            assert is_answered(spec)
        wait_until(lambda: flood.cut_so_far() == MANY, "all to be cut", 30)
        assert send(session).accepted

    cut = watched.scrape()["alignd_connections_cut_total"]
    assert cut == MANY
    assert watched.alignd.log().count("connections that have not negotiated are cut") in {1, 2}
    assert "worker ended" not in watched.alignd.log()


def test_connections_are_counted_before_they_negotiate(start: Start) -> None:
    watched = start(ONE)

    def wait_for(number: int) -> None:
        wait_until(lambda: watched.scrape()["alignd_connections"] == number, f"{number} of them")

    with closing(MilterConnection(watched.alignd.socket)) as slow:
        slow.connect()
        wait_for(1)
        slow.negotiate()
        slow.greet()
        with MilterConnection(watched.alignd.socket) as other:
            wait_for(2)
            assert send(slow).accepted
            assert send(other).accepted
    wait_for(0)
    assert watched.scrape()["alignd_connections_cut_total"] == 0


def test_connections_that_were_refused_keep_no_other_out(start: Start) -> None:
    watched = start(f"{ONE}max_connections = 3\n")
    spec = watched.alignd.socket
    with ExitStack() as opened:
        served = [opened.enter_context(MilterConnection(spec)) for _ in range(3)]
        refused = [opened.enter_context(MilterConnection(spec)) for _ in range(5)]
        assert {send(each).answer.reply for each in refused} == {Reply.TEMPFAIL}

        served.pop().close()
        wait_until(lambda: is_answered(spec), "room for another")
        wait_until(lambda: all(each.is_cut() for each in refused), "those to be cut")

        assert all(send(each).accepted for each in served)
