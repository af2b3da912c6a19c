"""The log of the real service: whatever becomes of its reader, mail goes on."""

import fcntl
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import cast
from tests.lab.alignd import run_alignd
from tests.lab.message import ChangeSender
from tests.lab.milter_client import MilterConnection, steps
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import free_ports, open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import Watched

pytestmark = pytest.mark.wire

AGENT = "marky.mark@mycompany.com"
MESSAGE = f"From: Marky Mark <{AGENT}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
ROOM = 4096  # octets of a log that nobody reads: some 35 lines
MESSAGES = 400
OTHERS = 5  # lines that are not about messages and may be dropped, at most
LINE = re.compile(r"^Q\d+: action=rewrite .* ms=[\d.]+$", re.MULTILINE)
TOLD = re.compile(r"^log lines were dropped: .* lines=(\d+)$", re.MULTILINE)


@contextmanager
def watched(
    nameserver: Nameserver, *, stderr: int | None = None, under: tuple[str, ...] = ()
) -> Iterator[Watched]:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    (port,) = free_ports(1)
    changes = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    with (
        open_directory() as directory,
        run_alignd(
            directory / "alignd", nameserver.address, changes, stderr=stderr, under=under
        ) as alignd,
    ):
        service = Watched(alignd, port)
        service.wait_until_served()
        yield service


def send(service: Watched, count: int) -> None:
    with MilterConnection(service.alignd.socket) as mta:
        for number in range(count):
            said = steps(AGENT, (cast.JULIA,), MESSAGE, queue_id=f"Q{number}", leading_blank=True)
            answer = mta.tell_at_once(said)
            assert any(isinstance(each, ChangeSender) for each in answer.modifications)
            mta.packet(b"A")


def dropped(service: Watched) -> float:
    return service.scrape()["alignd_log_lines_dropped_total"]


def a_pipe() -> tuple[int, int]:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, ROOM)
    return ours, theirs


def a_socket() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    return ours.detach(), theirs.detach()


@pytest.mark.parametrize("make_stream", [a_pipe, a_socket])
def test_a_log_that_nobody_reads_holds_up_no_mail(
    nameserver: Nameserver, make_stream: Callable[[], tuple[int, int]]
) -> None:
    ours, theirs = make_stream()
    with (
        os.fdopen(ours, "rb", buffering=0) as reading,
        os.fdopen(theirs, "wb") as stream,
        watched(nameserver, stderr=stream.fileno()) as run,
    ):
        os.set_blocking(ours, False)
        stream.close()
        send(run, MESSAGES)
        lost = dropped(run)
        assert MESSAGES / 2 < lost < MESSAGES + OTHERS
        assert run.request("/healthz").status == 200

        before = b"".join(iter(lambda: reading.read(65_536), None)).decode()
        send(run, 1)
        after = ""

        def goes_on() -> bool:
            nonlocal after
            after += (reading.read(65_536) or b"").decode()
            return "Q0: " in after and after.endswith("\n")

        wait_until(goes_on, "the log to go on")

    assert TOLD.findall(before) == []
    assert TOLD.findall(after) == [f"{lost:.0f}"]
    written = len(LINE.findall(before))
    assert MESSAGES <= written + lost <= MESSAGES + OTHERS


def test_standard_error_that_is_closed_at_start_stops_nothing(nameserver: Nameserver) -> None:
    closed = ("sh", "-c", 'exec "$@" 2>&-', "sh")
    with watched(nameserver, under=closed) as run:
        send(run, 10)

        assert dropped(run) >= 10


def test_a_reader_that_goes_away_stops_nothing(nameserver: Nameserver) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb") as stream, watched(nameserver, stderr=stream.fileno()) as run:
        os.close(ours)
        stream.close()
        send(run, 10)

        assert dropped(run) >= 10


def test_a_full_disk_stops_nothing(nameserver: Nameserver) -> None:
    with (
        Path("/dev/full").open("wb") as stream,
        watched(nameserver, stderr=stream.fileno()) as run,
    ):
        send(run, 10)

        assert dropped(run) >= 10
