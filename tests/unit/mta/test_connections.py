"""Which connections are cut, and when: on real sockets, by a clock of the test."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignd.mta.connections import MOMENT, NEGOTIATION_SECONDS, Connections, Listening
from alignd.mta.libmilter import Sessions
from alignd.mta.negotiated import DescriptorReader
from alignd.mta.session import Runtime, Session
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from tests.lab.readiness import open_directory

MANY = 10


class Milter:
    """A process that accepts connections as libmilter does, and has them looked at."""

    def __init__(self, server: socket.socket, log: Path) -> None:
        self._server = server
        self._log = log
        self._runs = ExitStack()
        self._stream = self._runs.enter_context(log.open("w"))
        listening = Listening(server.family, server.getsockname())
        self.metrics = Metrics(1)
        self.max_sessions = MANY
        self.sessions = Sessions(_no_runtime, 600)
        self.reader = DescriptorReader(listening.accepted)
        self.connections = Connections(
            listening,
            self.sessions,
            self.reader,
            lambda: self.max_sessions,
            MessageLog(self._stream),
            self.metrics.of_worker(0),
        )
        self._now = 1000.0
        self.pass_time(0.0)

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A connection: its end here, and that of the peer."""
        peer = self._runs.enter_context(closing(socket.socket(self._server.family)))
        peer.connect(self._server.getsockname())
        here, _ = self._server.accept()
        return self._runs.enter_context(closing(here)), peer

    def pass_time(self, seconds: float) -> None:
        """Look as often as the thread does, until so many seconds have passed."""
        end = self._now + seconds
        while self._now < end:
            self._now = min(self._now + 0.25, end)
            self.connections.look(self._now)

    def stand_still(self, seconds: float) -> None:
        """Look once, after all these seconds."""
        self._now += seconds
        self.connections.look(self._now)

    def number(self, name: str) -> float:
        """A number of the metrics."""
        ((_, numbers),) = ((f, n) for f, n in self.metrics.families() if f.name == name)
        return sum(numbers.values())

    def log(self) -> str:
        """What was logged."""
        return self._log.read_text()

    def close(self) -> None:
        """End all connections."""
        self._runs.close()


def _no_runtime() -> Runtime:
    raise AssertionError("no message is sent")


def is_cut(peer: socket.socket) -> bool:
    try:
        return not peer.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False


@pytest.fixture(params=["unix", "tcp", "tcp-on-all-addresses", "tcp6"])
def milter(request: pytest.FixtureRequest) -> Iterator[Milter]:
    servers: dict[str, Callable[[Path], socket.socket]] = {
        "unix": _unix_server,
        "tcp": lambda _: socket.create_server(("127.0.0.1", 0)),
        "tcp-on-all-addresses": lambda _: socket.create_server(("0.0.0.0", 0)),
        "tcp6": lambda _: socket.create_server(("::1", 0), family=socket.AF_INET6),
    }
    with (
        open_directory() as directory,
        closing(servers[request.param](directory)) as server,
        closing(Milter(server, directory / "log")) as milter,
    ):
        yield milter


def _unix_server(directory: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(directory / "milter.sock"))
    server.listen()
    return server


def test_one_that_says_nothing_is_cut_after_its_time_and_not_before(milter: Milter) -> None:
    _, peer = milter.connect()

    milter.pass_time(NEGOTIATION_SECONDS)
    assert not is_cut(peer)
    assert milter.number("alignd_connections") == 1
    milter.pass_time(1)

    assert is_cut(peer)
    assert milter.number("alignd_connections_cut_total") == 1
    assert "connections that have not negotiated are cut cut=1" in milter.log()
    milter.pass_time(10)  # libmilter has not closed it yet
    assert milter.number("alignd_connections_cut_total") == 1
    assert milter.number("alignd_connections") == 0


def test_one_that_has_negotiated_is_never_cut(milter: Milter) -> None:
    here, peer = milter.connect()
    milter.sessions.served[here.fileno()] = Session.__new__(Session)  # any
    milter.max_sessions = 0

    milter.pass_time(10 * NEGOTIATION_SECONDS)

    assert not is_cut(peer)


def test_of_too_many_the_oldest_are_cut_after_a_moment(milter: Milter) -> None:
    peers = []
    for _ in range(MANY + 3):
        peers.append(milter.connect()[1])
        milter.stand_still(0.001)
    assert not any(map(is_cut, peers))

    milter.stand_still(MOMENT)

    assert [is_cut(each) for each in peers] == [True] * 3 + [False] * MANY


def test_a_new_one_has_its_moment_after_a_pause(milter: Milter) -> None:
    milter.max_sessions = 0
    _, peer = milter.connect()

    milter.stand_still(1)

    assert not is_cut(peer)


def test_what_libmilter_has_not_read_yet_is_no_fault_of_the_peer(milter: Milter) -> None:
    milter.max_sessions = 0
    here, peer = milter.connect()
    peer.sendall(b"negotiation")

    milter.pass_time(60)
    assert not is_cut(peer)
    here.recv(100)
    milter.pass_time(1)

    assert is_cut(peer)


def test_time_for_which_the_process_stood_still_does_not_count(milter: Milter) -> None:
    _, peer = milter.connect()
    milter.pass_time(1)

    milter.stand_still(3600)

    assert not is_cut(peer)


def test_a_number_that_is_used_again_is_another_connection(milter: Milter) -> None:
    here, _ = milter.connect()
    number = here.fileno()
    milter.pass_time(NEGOTIATION_SECONDS - 1)

    another, peer = milter.connect()
    os.dup2(another.fileno(), number)
    another.close()
    milter.pass_time(NEGOTIATION_SECONDS - 1)

    assert not is_cut(peer)


def test_other_sockets_of_the_process_are_left_alone(milter: Milter) -> None:
    milter.max_sessions = 0
    with ExitStack() as opened:
        one, other = map(opened.enter_context, socket.socketpair())
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        opened.enter_context(socket.create_connection(server.getsockname()))
        accepted, _ = server.accept()
        opened.enter_context(accepted)
        query = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        query.connect(server.getsockname())
        _, peer = milter.connect()  # this end is of the process, too

        milter.pass_time(60)

        assert is_cut(peer)
        assert milter.number("alignd_connections_cut_total") == 1
        assert not any(map(is_cut, (one, other, accepted, query)))


def test_nothing_is_cut_where_nobody_knows_what_has_negotiated(milter: Milter) -> None:
    milter.max_sessions = 0
    _, peer = milter.connect()
    assert milter.reader.descriptor_of(object()) is None  # a pymilter of another shape

    milter.pass_time(60)

    assert not is_cut(peer)
    assert milter.log().count("are not cut: this libmilter is unknown") == 1
    assert milter.number("alignd_connections") == 1


@dataclass(slots=True)
class Shaped:
    """Three pointers, as a context of pymilter has."""

    one: object
    two: object
    three: object


def shaped() -> Shaped:
    return Shaped(b"", b"", b"")  # all lead somewhere else


def test_an_unknown_structure_is_an_error_and_no_crash() -> None:
    nowhere = shaped()
    del nowhere.one, nowhere.two, nowhere.three
    reader = DescriptorReader(lambda _: False)

    assert reader.descriptor_of(nowhere) is None
    assert reader.is_proven is False
    before = os.listdir("/proc/self/fd")
    assert reader.descriptor_of(nowhere) is None
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_the_first_connections_may_come_all_at_once() -> None:
    at_once = threading.Barrier(2)

    def is_connection(_: int) -> bool:
        with suppress(threading.BrokenBarrierError):
            at_once.wait(timeout=0.3)  # for another that asks meanwhile
        return False

    reader = DescriptorReader(is_connection)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(reader.descriptor_of, (shaped(), shaped())))

    assert found == [None, None]
