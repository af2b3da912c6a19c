"""The watchdog's probe goes the whole way of a message; a judgement without end is ended."""

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alignd.mta import probe
from tests.lab import cast
from tests.lab.alignd import run_alignd
from tests.lab.milter_client import MilterConnection, Result
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import free_ports, open_directory, wait_until
from tests.lab.settings import configuration, world
from tests.lab.systemd import Surroundings, run_service
from tests.support import planted_service
from tests.support.scrape import Watched

pytestmark = pytest.mark.wire

AGENT = "marky.mark@mycompany.com"
MESSAGE = f"From: Marky Mark <{AGENT}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
WATCHDOG = {"WATCHDOG_USEC": "600000"}  # a probe each 0.2 s
ANSWERED = re.compile(r"^probe answered ms=[\d.]+$", re.MULTILINE)
PLANTED = (str(Path(planted_service.__file__)),)
WITH_BUG = Surroundings(program=PLANTED)


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def send(spec: str, queue_id: str = "Q1") -> Result:
    with MilterConnection(spec) as mta:
        return mta.send(AGENT, (cast.JULIA,), MESSAGE, queue_id=queue_id)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        pytest.param("", 1, id="one-line-an-hour"),
        pytest.param('[log]\nlevel = "debug"\n', 5, id="all-at-level-debug"),
    ],
)
def test_a_probe_is_answered_and_is_no_mail(
    directory: Path, nameserver: Nameserver, changes: str, lines: int
) -> None:
    (port,) = free_ports(1)
    changes += f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    with run_alignd(
        directory / "alignd", nameserver.address, changes, environment=WATCHDOG
    ) as alignd:
        watched = Watched(alignd, port)
        watched.wait_until_served()
        for _ in range(5):
            alignd.wait_for_notice("WATCHDOG=1")
        wait_until(lambda: len(ANSWERED.findall(alignd.log())) >= lines, "the lines")

        scrape = watched.scrape()
        assert not scrape.of("alignd_messages_total")
        assert not scrape["alignd_decision_seconds_count"]
        assert not scrape.of("alignd_fallbacks_total")
        if lines == 1:
            assert len(ANSWERED.findall(alignd.log())) == 1
        assert not re.search("action=", alignd.log())  # nor the secret, before a colon


def test_nobody_else_s_mail_passes_for_a_probe(directory: Path, nameserver: Nameserver) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    with run_alignd(directory / "alignd", nameserver.address, environment=WATCHDOG) as alignd:
        alignd.wait_for_notice("WATCHDOG=1")
        for queue_id in ("", "probe"):
            assert b"action=rewrite" in send(alignd.socket, queue_id).message

    assert alignd.log_line("NOQUEUE")
    assert alignd.log_line("probe")


@pytest.mark.parametrize("host", ["unix", "127.0.0.1"])
def test_a_probe_needs_no_more_than_an_mta(
    directory: Path, nameserver: Nameserver, host: str
) -> None:
    (port,) = free_ports(1)
    changes = "" if host == "unix" else f'[milter]\nsocket = "inet:{port}@{host}"\n'
    with run_alignd(
        directory / "alignd", nameserver.address, changes, environment=WATCHDOG
    ) as alignd:
        alignd.wait_for_notice("WATCHDOG=1")
        address = (host, port) if changes else alignd.socket.partition(":")[2]
        family = socket.AF_INET if changes else socket.AF_UNIX

        assert probe.answers(family, address)
        assert probe.answers_message(family, address, "Q1")

    assert re.search(
        "^Q1: action=skip domain=alignd.invalid reason=client-not-in-scope ",
        alignd.log(),
        re.MULTILINE,
    )


def test_a_service_that_takes_no_more_connections_is_no_reason_to_restart(
    directory: Path, nameserver: Nameserver
) -> None:
    changes = "[milter]\nmax_connections = 1\n"
    with (
        run_alignd(
            directory / "alignd", nameserver.address, changes, environment=WATCHDOG
        ) as alignd,
        MilterConnection(alignd.socket),
    ):
        while alignd.notices.take("WATCHDOG=1"):
            pass  # those of before
        for _ in range(2):
            alignd.wait_for_notice("WATCHDOG=1")


def test_a_service_whose_judgements_have_no_end_is_replaced(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    stuck = directory / "service" / "stuck"

    def configured(spec: str) -> str:
        # Of several workers only one may be stuck: then none is replaced for the watchdog's sake.
        changes = "[milter]\nworkers = 1\n[dns]\ntimeout = '30s'\n"
        return configuration(changes, socket=spec, nameserver=nameserver.address)

    with run_service(
        directory / "service", configured, watchdog=4.0, surroundings=WITH_BUG
    ) as service:
        assert b"action=rewrite" in send(service.socket).message
        kills, starts = service.watchdog_kills, service.starts
        stuck.touch()

        wait_until(lambda: service.watchdog_kills > kills, "the watchdog", timeout=60)

        stuck.unlink()
        service.await_restart(starts)
        assert b"action=rewrite" in send(service.socket).message


def test_a_worker_whose_judgement_has_no_end_is_replaced(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    stuck = directory / "service" / "stuck"

    def configured(spec: str) -> str:
        changes = "[dns]\ntimeout = '100ms'\n"
        return configuration(changes, socket=spec, nameserver=nameserver.address)

    with (
        # The next probe comes after forty seconds.
        run_service(
            directory / "service",
            configured,
            watchdog=120.0,
            surroundings=WITH_BUG,
        ) as service,
        ThreadPoolExecutor(1) as helpdesk,
    ):
        (victim,) = service.workers()
        stuck.touch()
        answer = helpdesk.submit(send, service.socket)

        line = f"worker hangs and is killed pid={victim}"
        wait_until(lambda: line in service.log(), "the supervisor to notice", timeout=35)

        assert isinstance(answer.exception(30), OSError)
        assert "a judgement has no end: the worker stops its heartbeat" in service.log()
        assert not service.watchdog_kills
        stuck.unlink()
        assert b"reason=internal-error" in send(service.socket).message
