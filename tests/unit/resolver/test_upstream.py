"""Nameservers that are replaced while they are asked: answers stay, and failures go."""

import os
from collections.abc import Iterator

import pytest

from alignd.config.option_types import Nameserver
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import LookupFailed, RecordType
from alignd.resolver.nameservers import Nameservers
from alignd.resolver.resolver import Resolver
from alignd.resolver.upstream import PROBE, Upstream
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


def test_spare_sockets_are_given_back(nameserver: lab.Nameserver) -> None:
    upstream = Upstream(at(nameserver), keeps_sockets=True)
    upstream.use(at(nameserver))
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        upstream.use(at(nameserver))

    assert len(os.listdir("/proc/self/fd")) == before
    upstream.end()
