"""Limits of what a message and a client may take, each with a stated outcome and a log line."""

import os
import re
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab import fast_clock
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.milter_client import MilterConnection, Result
from tests.lab.nameserver import Nameserver
from tests.lab.protocol import Reply
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world

pytestmark = pytest.mark.wire

AGENT = "marky.mark@mycompany.com"
FROM = b"From: Marky Mark <marky.mark@mycompany.com>\r\n"
SIGNATURE = (
    b"DKIM-Signature: v=1; a=rsa-sha256; d=mycompany.com; s=s; h=from;\r\n"
    b" bh=%s=; b=%s==\r\n" % (b"A" * 43, b"A" * 342)
)
Start = Callable[..., Alignd]
SECOND = 5000.0  # a bound for a busy machine: it takes a tenth of a second
FEW = ("prlimit", "--nofile=110")


@pytest.fixture
def start(nameserver: Nameserver) -> Iterator[Start]:
    """Start alignd with some changes to its configuration."""
    nameserver.serve(world('mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'))
    with open_directory() as directory, ExitStack() as running:

        def start(changes: str, **how: Any) -> Alignd:
            place: Path = directory / "alignd"
            return running.enter_context(run_alignd(place, nameserver.address, changes, **how))

        yield start


def send(alignd: Alignd, message: bytes) -> Result:
    with MilterConnection(alignd.socket) as mta:
        return mta.send(AGENT, ("julia@customer.example",), message, queue_id="LIMIT")


def take_all_descriptors_from(pid: int) -> None:
    """Let the process open nothing more; what is open stays so."""
    taken = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if "/proc" not in os.readlink(each):  # as which it looks at them itself, for a moment
                taken.add(int(each.name))
    lowest_free = min(set(range(len(taken) + 1)) - taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, lowest_free))


def test_a_header_over_the_limit_is_rewritten_without_what_was_lost(start: Start) -> None:
    alignd = start("[milter]\nmax_header_bytes = 1000\n")
    flood = b"".join(b"DKIM-Signature: %d%s\r\n" % (n, b"x" * 100) for n in range(50))

    result = send(alignd, flood + FROM + b"\r\nHello\r\n")

    assert result.accepted
    assert b"DKIM-Signature" not in result.message
    assert b"reason=from-malformed" in result.message
    assert "limit=max_header_bytes" in alignd.log_line("LIMIT")


@pytest.mark.parametrize("name", [b"Sender", b"Reply-To", b"From"])
def test_fields_without_a_value_are_not_free(start: Start, name: bytes) -> None:
    alignd = start("[milter]\nmax_header_bytes = 1000\n")

    result = send(alignd, FROM + b"%s:\r\n" % name * 30 + b"\r\nHello\r\n")

    assert result.accepted
    assert "limit=max_header_bytes" in alignd.log_line("LIMIT")


@pytest.mark.parametrize("name", [b"Sender", b"From", b"ARC-Seal", b"Alignd"])
@pytest.mark.parametrize("changes", ["", "[dkim]\nverify = true\n"], ids=["plain", "verify"])
def test_more_fields_than_may_be_changed_are_refused_at_once(
    start: Start, name: bytes, changes: str
) -> None:
    alignd = start(changes)

    result = send(alignd, b"%s:\r\n" % name * 40_000 + FROM + b"\r\nHello\r\n")

    assert result.answer.reply is Reply.WITH_CODE
    assert result.answer.text.startswith("554 5.6.0 ")
    line = alignd.log_line("LIMIT")
    assert {"action=refuse", "reason=too-many-fields", "limit=max_header_bytes"} <= set(
        line.split()
    )
    assert float(line.rpartition("ms=")[2]) < SECOND


def test_a_signature_does_not_count_below_a_header_that_is_cut(start: Start) -> None:
    alignd = start("[milter]\nmax_header_bytes = 1000\n[dkim]\nverify = true\n")
    filler = b"X-Filler: y\r\n" * 50

    assert send(alignd, SIGNATURE + FROM + filler + b"\r\nHello\r\n").accepted

    assert {"dkim=policy", "limit=max_header_bytes"} <= set(alignd.log_line("LIMIT").split())


def test_the_number_of_changes_is_an_option(start: Start) -> None:
    alignd = start("[milter]\nmax_edits = 20\n")

    stranger = b"From: marky@elsewhere.example\r\n\r\nHello\r\n"
    few = send(alignd, b"Sender:\r\n" * 15 + stranger)
    many = send(alignd, b"Sender:\r\n" * 25 + stranger)

    assert few.accepted
    assert b"Sender" not in few.message
    assert many.answer.reply is Reply.WITH_CODE


def test_a_header_within_the_limit_is_left_alone(start: Start) -> None:
    alignd = start("[milter]\nmax_header_bytes = 1000\n")
    message = FROM + b"X-Filler: y\r\n" * 1000 + b"\r\nHello\r\n"

    assert send(alignd, message).answer.modifications == ()
    assert "limit=" not in alignd.log_line("LIMIT")


def test_a_body_over_the_limit_is_not_verified(start: Start) -> None:
    alignd = start("[milter]\nmax_body_bytes = 1000\n[dkim]\nverify = true\n")

    assert send(alignd, SIGNATURE + FROM + b"\r\n" + b"x" * 5000).accepted

    line = alignd.log_line("LIMIT")
    assert {"dkim=policy", "limit=max_body_bytes"} <= set(line.split())


def test_a_connection_too_many_is_answered_with_a_temporary_failure(start: Start) -> None:
    alignd = start("[milter]\nworkers = 1\nmax_connections = 3\n")
    with ExitStack() as open_connections:
        for _ in range(3):
            open_connections.enter_context(MilterConnection(alignd.socket))
        for _ in range(5):
            with MilterConnection(alignd.socket) as mta:
                refused = mta.send(AGENT, ("julia@customer.example",), FROM + b"\r\nHello\r\n")
                assert refused.answer.reply is Reply.TEMPFAIL
    wait_until(lambda: send(alignd, FROM + b"\r\nHello\r\n").accepted, "room for another")

    # Once for the cause, not once for each.
    wait_until(lambda: "max_connections is reached" in alignd.log(), "the complaint")
    assert len(re.findall("milter.max_connections is reached", alignd.log())) == 1


def test_fewer_descriptors_than_connections_make_the_limit_lower(start: Start) -> None:
    alignd = start("[milter]\nworkers = 1\n", under=FEW)

    assert "descriptors=110 max_connections=10" in alignd.log()
    with ExitStack() as open_connections:
        for _ in range(10):
            open_connections.enter_context(MilterConnection(alignd.socket))
        with MilterConnection(alignd.socket) as mta:
            refused = mta.send(AGENT, ("julia@customer.example",), FROM + b"\r\nHello\r\n")
            assert refused.answer.reply is Reply.TEMPFAIL
    complaint = "milter.max_connections is reached limit=10"
    wait_until(lambda: complaint in alignd.log(), "the complaint")


def test_a_worker_without_a_descriptor_left_serves_again_when_there_is_one(start: Start) -> None:
    alignd = start("[milter]\nworkers = 1\n", under=FEW)
    path = alignd.socket.partition(":")[2]
    with ExitStack() as open_connections:
        for _ in range(150):  # the kernel takes those that the worker cannot
            client = open_connections.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(path)

    wait_until(lambda: send(alignd, FROM + b"\r\nHello\r\n").accepted, "room for another")
    assert "worker ended" not in alignd.log()


@pytest.mark.parametrize(
    "filler",
    [
        pytest.param("", id="over-udp"),
        pytest.param(f"mycompany.com. TXT {' '.join(['filler' + 'x' * 240] * 8)}", id="over-tcp"),
    ],
)
def test_open_sessions_have_dns_when_no_descriptor_is_left(
    start: Start, nameserver: Nameserver, filler: str
) -> None:
    alignd = start("[milter]\nworkers = 1\n", under=FEW)
    nameserver.serve(
        world(f'mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n{filler}\n')
    )
    (worker,) = alignd.children()
    with MilterConnection(alignd.socket) as mta:
        take_all_descriptors_from(worker)
        for number in range(20):
            sent = mta.send(
                f"a{number}@mycompany.com", ("julia@customer.example",), FROM + b"\r\nHello\r\n"
            )
            assert sent.answer.modifications == ()
    assert "error=" not in alignd.log()


@pytest.mark.skipif(fast_clock.obstacle() is not None, reason=fast_clock.obstacle() or "")
def test_an_idle_connection_is_cut(start: Start, tmp_path: Path) -> None:
    clock = fast_clock.build(tmp_path, speed=600)
    alignd = start(
        '[milter]\nworkers = 1\nidle_timeout = "10m"\n', environment={"LD_PRELOAD": str(clock)}
    )
    with MilterConnection(alignd.socket) as idle:
        # libmilter looks when something happens, or after ten seconds.
        wait_until(lambda: send(alignd, FROM + b"\r\nHello\r\n").accepted and idle.is_cut(), "it")

    wait_until(lambda: "milter.idle_timeout is over" in alignd.log(), "the line on it")
    assert len(re.findall("milter.idle_timeout is over", alignd.log())) == 1


def test_addresses_are_logged_only_at_debug_level(start: Start) -> None:
    alignd = start('[log]\nlevel = "debug"\n')

    send(alignd, FROM + b"\r\nHello\r\n")

    line = alignd.log_line("LIMIT")
    assert {f"sender={AGENT}", f"author={AGENT}", "recipients=julia@customer.example"} <= set(
        line.split()
    )


def test_addresses_are_not_logged_otherwise(start: Start) -> None:
    alignd = start("")

    send(alignd, b"From: broken <marky.mark@mycompany.com\r\n\r\nHello\r\n")

    assert "@" not in alignd.log_line("LIMIT")
