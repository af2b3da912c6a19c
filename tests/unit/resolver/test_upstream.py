"""Nameservers that are replaced while they are asked: answers stay, and failures go."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from alignd.config.nameservers import Nameservers
from alignd.config.option_types import Nameserver
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import LookupFailed, RecordType
from alignd.resolver.client import PROBE, Upstream
from alignd.resolver.conversation import socket_address
from alignd.resolver.resolver import Resolver
from tests.lab import nameserver as lab
from tests.lab.readiness import wait_until

ZONE = 'known.example. 300 TXT "x"\nother.example. 300 TXT "y"\n'
SILENT = "; TIMEOUT other.example.\n; TIMEOUT .\n"


@pytest.fixture
def silent() -> Iterator[lab.Nameserver]:
    with lab.run_nameserver() as nameserver:
        yield nameserver


def at(*nameservers: lab.Nameserver, rotate: bool = False) -> Nameservers:
    return Nameservers(
        tuple(Nameserver("127.0.0.1", each.port) for each in nameservers), rotate=rotate
    )


def test_others_are_asked_at_once_and_what_is_known_stays(
    nameserver: lab.Nameserver, silent: lab.Nameserver
) -> None:
    silent.serve(ZONE)
    nameserver.serve(ZONE)
    settings = DnsOptions.model_validate({"timeout": "400ms", "min_ttl": "1h"})
    resolver = Resolver(settings, at(silent), print)
    known = resolver.for_message().look_up("known.example", RecordType.TXT)
    silent.serve(SILENT)
    failed = resolver.for_message().look_up("other.example", RecordType.TXT)
    wait_until(lambda: resolver.is_down, "the breaker to open")

    resolver.use_nameservers(at(nameserver))

    assert isinstance(failed, LookupFailed)
    assert not resolver.is_down
    assert not isinstance(
        resolver.for_message().look_up("other.example", RecordType.TXT), LookupFailed
    )
    assert resolver.for_message().look_up("known.example", RecordType.TXT) == known
    assert [name for name, _ in nameserver.questions if name != "."] == ["other.example."]
    resolver.end()


def test_rotating_nameservers_are_asked_in_turn(
    nameserver: lab.Nameserver, silent: lab.Nameserver
) -> None:
    nameserver.serve("")
    silent.serve("")
    upstream = Upstream(at(nameserver, silent, rotate=True), keeps_sockets=False)

    for _ in range(6):
        upstream.ask(*PROBE, 10)

    assert min(len(nameserver.questions), len(silent.questions)) >= 3


class Recording(lab.Nameserver):
    """One that remembers over what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.over_udp: list[bool] = []

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        self.over_udp.append(over_udp)
        return super().respond(data, over_udp=over_udp)


@pytest.mark.parametrize("over_tcp", [False, True], ids=["by-default", "with-use-vc"])
def test_what_questions_go_over(over_tcp: bool) -> None:
    with lab.run_nameserver(Recording()) as nameserver:
        assert isinstance(nameserver, Recording)
        nameservers = replace(at(nameserver), over_tcp=over_tcp)
        Upstream(nameservers, keeps_sockets=False).ask(*PROBE, 10)

    assert nameserver.over_udp[0] is not over_tcp
    assert not (over_tcp and any(nameserver.over_udp))


def test_spare_sockets_are_given_back(nameserver: lab.Nameserver) -> None:
    upstream = Upstream(at(nameserver), keeps_sockets=True)
    upstream.use(at(nameserver))
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        upstream.use(at(nameserver))

    assert len(os.listdir("/proc/self/fd")) == before
    upstream.end()


@pytest.mark.parametrize(("scope", "number"), [("lo", 1), ("7", 7)], ids=["name", "number"])
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
