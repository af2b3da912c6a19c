"""The map: each result has its reply, and each connection its limits."""

import asyncio
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alignd.config.endpoint import UnixSocket
from alignd.config.file import parse_configuration
from alignd.config.nameservers import nameservers_of
from alignd.config.signer import load_signer
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mta.libmilter import ListenError
from alignd.mta.socketmap import Request
from alignd.return_path.address import DAY, Kind, encode
from alignd.return_path.directory import Directory, KeyTrouble, make_directory
from alignd.return_path.keyring import Key, Keyring, KeyState
from alignd.service.return_map import (
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    REQUEST_SECONDS,
    MapProcess,
    MapShare,
    look_up,
    open_map_socket,
)
from alignd.service.setup import Leg, Setup
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from alignd.telemetry.status_board import StatusBoard
from alignd.telemetry.words import LookupResult
from tests.lab.socketmap import request
from tests.support.configtext import BASE

OURS = Domain("notifications.easysoftware.com")
NOW = 20_000 * DAY + 5.0
SIGNING, OLD, GONE, UNHEARD = (Key(bytes([n]) * 32, KeyState.SIGN) for n in range(4))
KEYS = {
    SIGNING.id: SIGNING,
    OLD.id: replace(OLD, state=KeyState.ACCEPT),
    GONE.id: replace(GONE, state=KeyState.RETIRED),
}
RING = Keyring(KEYS, SIGNING)
CONFIGURATION = parse_configuration(
    f"""{BASE}
[dns]
nameservers = ["127.0.0.1"]
[return]
keys = "keys"
blocked = ["Spammed@MyCompany.com"]
[[tenant]]
match = {{ "X-Tenant" = "desk" }}
return = {{ domain = "desk.example", deliver_to = "tickets@desk-inside.example" }}
""",
    "",
)
DIRECTORY = make_directory(CONFIGURATION, {"keys": RING})
WITHOUT_KEYS = make_directory(CONFIGURATION, {"keys": KeyTrouble("they are gone")})


def address(
    author: str = "marky.mark@mycompany.com",
    kind: Kind = Kind.AUTHOR,
    key: Key = SIGNING,
    domain: Domain = OURS,
    now: float = NOW,
) -> str:
    local_part, _, name = author.partition("@")
    made = encode(Mailbox(local_part, Domain(name)), kind, domain, key, now)
    assert isinstance(made, Mailbox)
    return made.address


MARKY = "OK marky.mark@mycompany.com"
DESK = Domain("desk.example")
MOVED = address(domain=DESK).replace(DESK.name, OURS.name)


@pytest.mark.parametrize(
    ("key", "result", "reply"),
    [
        (address(), LookupResult.FOUND, MARKY),
        (address().upper(), LookupResult.FOUND, MARKY),
        (address(key=OLD), LookupResult.FOUND, MARKY),
        (address(kind=Kind.BOUNCE), LookupResult.FOUND, MARKY),
        (address(domain=DESK), LookupResult.FOUND, "OK tickets@desk-inside.example"),
        (address(kind=Kind.BOUNCE, domain=DESK), LookupResult.FOUND, MARKY),
        (address(key=GONE), LookupResult.RETIRED, "NOTFOUND "),
        (address(kind=Kind.MARK), LookupResult.FORGED, "NOTFOUND "),
        ("x" + address(), LookupResult.FORGED, "NOTFOUND "),
        (MOVED, LookupResult.FORGED, "NOTFOUND "),
        (address(kind=Kind.BOUNCE, now=NOW - 31 * DAY), LookupResult.EXPIRED, "NOTFOUND "),
        (address("spammed@mycompany.com"), LookupResult.BLOCKED, "NOTFOUND "),
        (f"helpdesk@{OURS}", LookupResult.FORM, "NOTFOUND "),
        (f"@{OURS}", LookupResult.FORM, "NOTFOUND "),
        (address().replace("k", "\u212a"), LookupResult.FORM, "NOTFOUND "),
        ("julia@customer.example", LookupResult.ELSEWHERE, "NOTFOUND "),
        ("", LookupResult.ELSEWHERE, "NOTFOUND "),
        (address(key=UNHEARD), LookupResult.UNKNOWN_KEY, "TEMP "),
    ],
)
def test_each_result_has_its_reply(key: str, result: LookupResult, reply: str) -> None:
    found, octets = look_up(DIRECTORY, Request("return", key), NOW)

    assert found is result
    said = octets.decode().partition(":")[2].removesuffix(",")
    assert said.startswith(reply) if reply == "TEMP " else said == reply


@pytest.mark.parametrize(
    ("key", "reply"),
    [
        pytest.param(address(), b"TEMP ", id="good"),
        pytest.param("x" + address(), b"TEMP ", id="forged"),
        pytest.param(f"helpdesk@{OURS}", b"NOTFOUND ", id="none-with-any-key"),
    ],
)
def test_without_keys_what_may_be_good_is_asked_for_again(key: str, reply: bytes) -> None:
    assert reply in look_up(WITHOUT_KEYS, Request("return", key), NOW)[1]


def test_another_map_is_asked_for_again() -> None:
    assert look_up(DIRECTORY, Request("virtual", address()), NOW)[1].startswith(b"34:TEMP ")


@pytest.fixture
def place(tmp_path: Path) -> UnixSocket:
    return UnixSocket(str(tmp_path / "map.sock"))


def test_the_socket_of_a_dead_process_is_replaced(place: UnixSocket) -> None:
    open_map_socket(place).close()

    with open_map_socket(place), socket.socket(socket.AF_UNIX) as client:
        client.connect(place.path)
        assert stat.S_IMODE(Path(place.path).stat().st_mode) == 0o666


def test_a_socket_that_is_served_is_left_to_its_process(place: UnixSocket) -> None:
    with open_map_socket(place), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(ListenError, match="another process serves it"):
            open_map_socket(place)
        client.connect(place.path)


def test_what_is_no_socket_is_left_alone(place: UnixSocket) -> None:
    Path(place.path).write_text("of somebody")

    with pytest.raises(ListenError, match=r"map\.sock: Address already in use"):
        open_map_socket(place)

    assert Path(place.path).read_text() == "of somebody"


class Running:
    """The map with a clock of its own, and connections to it, which are real ones."""

    def __init__(self, directory: Directory = DIRECTORY) -> None:
        self.now = 1000.0
        self.metrics = Metrics(1)
        self._writers: list[asyncio.StreamWriter] = []
        setup = Setup(
            CONFIGURATION,
            load_signer(CONFIGURATION.dkim),
            nameservers_of(CONFIGURATION.dns),
            leg=Leg.RETURN,
            directory=directory,
        )
        share = MapShare(self.metrics.of_map(), StatusBoard(1).of_map())
        self.process = MapProcess(
            setup, lambda _: setup, share, MessageLog(None), lambda: self.now
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        theirs, ours = socket.socketpair()
        await asyncio.get_running_loop().connect_accepted_socket(self.process.connection, theirs)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Close all connections, and see both ends of them gone."""
        for writer in self._writers:
            writer.transport.abort()
        while len(self.process):
            await asyncio.sleep(0)

    def count(self, result: LookupResult) -> float:
        for family, numbers in self.metrics.families():
            if family.name == "alignd_return_lookups_total":
                return numbers[result.value,]
        raise LookupError(result)


def run(claim: Callable[[Running], Awaitable[None]], directory: Directory = DIRECTORY) -> Running:
    running = Running(directory)

    async def bounded() -> None:
        async with asyncio.timeout(30):
            try:
                await claim(running)
            finally:
                await running.close()

    asyncio.run(bounded())
    return running


GOOD = address(now=time.time())
ASKED = request(GOOD)
REPLY = b"27:OK marky.mark@mycompany.com,"


def test_many_questions_at_once_are_answered_in_their_order() -> None:
    async def claim(running: Running) -> None:
        reader, writer = await running.connect()
        writer.write((ASKED + request("x" + GOOD)) * 1000)
        expected = (REPLY + b"9:NOTFOUND ,") * 1000
        assert await reader.readexactly(len(expected)) == expected

    assert run(claim).count(LookupResult.FORGED) == 1000


def test_half_a_question_has_a_second_however_it_drips() -> None:
    async def claim(running: Running) -> None:
        reader, writer = await running.connect()
        writer.write(ASKED + ASKED[:-4])
        assert await reader.readexactly(len(REPLY)) == REPLY
        for octet in (ASKED[-4:-3], ASKED[-3:-2]):
            running.now += REQUEST_SECONDS * 0.5
            writer.write(octet)
            await writer.drain()
            await asyncio.sleep(0)
            running.process.tend()
        running.now += REQUEST_SECONDS * 0.1
        running.process.tend()
        assert await reader.read() == b""

    assert run(claim).count(LookupResult.MALFORMED) == 1


def test_garbage_closes_the_connection_after_the_answers_before_it() -> None:
    async def claim(running: Running) -> None:
        reader, writer = await running.connect()
        writer.write(ASKED + b"GET / HTTP/1.1\r\n" + ASKED)
        assert await reader.read() == REPLY

    assert run(claim).count(LookupResult.MALFORMED) == 1


def test_a_client_that_takes_no_replies_is_not_read_and_then_cut() -> None:
    async def claim(running: Running) -> None:
        _, writer = await running.connect()
        writer.write(ASKED * 50_000)
        while running.count(LookupResult.FOUND) < 1000:
            await asyncio.sleep(0)
        before = -1.0
        while running.count(LookupResult.FOUND) != before:
            before = running.count(LookupResult.FOUND)
            for _ in range(100):
                await asyncio.sleep(0)
        assert before < 50_000
        running.now += REQUEST_SECONDS * 1.1
        running.process.tend()
        while not writer.transport.is_closing():
            await asyncio.sleep(0)

    run(claim)


def test_a_silent_connection_is_closed_after_100_seconds_and_one_that_asks_is_not() -> None:
    async def claim(running: Running) -> None:
        silent, _ = await running.connect()
        reader, writer = await running.connect()
        running.now += IDLE_SECONDS * 0.9
        running.process.tend()
        writer.write(ASKED)
        assert await reader.readexactly(len(REPLY)) == REPLY
        running.now += IDLE_SECONDS * 0.2
        running.process.tend()
        assert await silent.read() == b""
        writer.write(ASKED)
        assert await reader.readexactly(len(REPLY)) == REPLY

    assert run(claim).count(LookupResult.MALFORMED) == 0


def test_one_connection_more_closes_the_one_that_has_asked_nothing_for_longest() -> None:
    async def claim(running: Running) -> None:
        connections = [await running.connect() for _ in range(MAX_CONNECTIONS)]
        reader, writer = connections[0]
        writer.write(ASKED)
        assert await reader.readexactly(len(REPLY)) == REPLY
        connections.append(await running.connect())
        assert await connections.pop(1)[0].read() == b""
        for reader, writer in connections:
            writer.write(ASKED)
            assert await reader.readexactly(len(REPLY)) == REPLY

    run(claim)


class BrokenDirectory(Directory):
    def find(self, _address: str, _now: float) -> None:  # type: ignore[override]
        raise ValueError("a bug")


def test_a_bug_is_no_answer_for_good() -> None:
    async def claim(running: Running) -> None:
        reader, writer = await running.connect()
        writer.write(ASKED)
        assert await reader.readexactly(8) == b"19:TEMP "

    assert run(claim, BrokenDirectory({})).count(LookupResult.FAILED) == 1
