"""What the machine runs short of does not end the service: those that serve go on."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.alignd import Alignd, run_alignd
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.processes import children_of
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import configuration, world
from tests.support.scrape import run_watched

pytestmark = pytest.mark.wire

AGENT = "marky.mark@mycompany.com"
MESSAGE = f"From: Marky Mark <{AGENT}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
TWO = "[milter]\nworkers = 2\n"
NOBODY_ELSE = 64_914  # a user whose processes are alignd's alone
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")

# RLIMIT_NPROC does not hold for root. It still has to reach the files of the test.
UNPRIVILEGED = (
    ()
    if os.geteuid() != 0
    else (
        *("setpriv", f"--reuid={NOBODY_ELSE}", f"--regid={NOBODY_ELSE}", "--clear-groups"),
        *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--"),
    )
)


@pytest.fixture
def directory(nameserver: Nameserver) -> Iterator[Path]:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    with open_directory() as directory:
        yield directory


def is_rewritten(alignd: Alignd) -> bool:
    with MilterConnection(alignd.socket) as mta:
        result = mta.send(AGENT, ("julia@customer.example",), MESSAGE)
    assert result.accepted
    return b"Alignd: action=rewrite" in result.message


def is_said(alignd: Alignd, text: str, times: int = 1) -> None:
    wait_until(lambda: alignd.log().count(text) == times, f"the log to say {text}", 30)


def limit(pid: int, number: str) -> None:
    """Set a soft limit of a process, such as `--nproc=0`; its own user may raise it again."""
    command = [*UNPRIVILEGED, "prlimit", f"--pid={pid}", f"{number}:"]
    subprocess.run(command, check=True, timeout=30)


@pytest.mark.parametrize(
    ("option", "number", "problem"),
    [
        pytest.param("--nproc", 0, "Resource temporarily unavailable", id="processes"),
        pytest.param("--nofile", 3, "Too many open files", id="descriptors"),
    ],
)
def test_a_worker_that_cannot_be_replaced_costs_no_other(
    directory: Path, nameserver: Nameserver, option: str, number: int, problem: str
) -> None:
    with run_watched(
        directory / "alignd",
        nameserver.address,
        TWO,
        environment={"WATCHDOG_USEC": "900000"},
        under=UNPRIVILEGED,
    ) as watched:
        alignd, supervisor = watched.alignd, watched.alignd.process.pid
        first, second = watched.workers()

        limit(supervisor, f"{option}={number}")
        os.kill(first, signal.SIGKILL)

        is_said(alignd, "process cannot be started: it is tried again process=worker")
        assert problem in alignd.log()
        # It can be reached: what the supervisor is short of says nothing of those that serve.
        while alignd.notices.take("WATCHDOG=1"):
            pass
        for _ in range(2):
            alignd.wait_for_notice("WATCHDOG=1")
        assert watched.workers() == [second]
        assert is_rewritten(alignd)
        failed = watched.scrape().counted("alignd_process_start_failures_total")
        assert failed[("worker",)] >= 1

        os.kill(second, signal.SIGKILL)  # now nobody serves, and still it does not give up
        is_said(alignd, "worker ended", 2)
        limit(supervisor, f"{option}=1000")

        is_said(alignd, "process is started again process=worker")
        wait_until(lambda: len(watched.workers()) == 2, "both workers")
        assert is_rewritten(alignd)
        assert alignd.log().count("process cannot be started") == 1


def test_what_fails_in_a_round_of_the_supervisor_is_told_and_does_not_end_it(
    directory: Path, nameserver: Nameserver
) -> None:
    environment = {"WATCHDOG_USEC": "often"}  # systemd writes numbers
    with run_watched(directory / "alignd", nameserver.address, environment=environment) as watched:
        alignd = watched.alignd
        (victim,) = watched.workers()

        os.kill(victim, signal.SIGKILL)

        wait_until(lambda: set(watched.workers()) - {victim}, "another worker")
        assert is_rewritten(alignd)
        failed = watched.scrape().counted("alignd_background_failures_total")
        assert failed[("supervision",)] > 1
        (line,) = [line for line in alignd.log().splitlines() if "supervisor failed" in line]
        assert 'error="ValueError at service/processes/notification.py:' in line


@pytest.mark.parametrize(
    ("closing", "closed"),
    [pytest.param("2>&-", {2}, id="stderr"), pytest.param("0<&- 1>&- 2>&-", {0, 1, 2}, id="all")],
)
def test_streams_that_are_closed_are_opened_on_nothing(
    directory: Path, nameserver: Nameserver, closing: str, closed: set[int]
) -> None:
    under = ("bash", "-c", f'exec "$@" {closing}', "bash")
    with run_alignd(directory / "alignd", nameserver.address, under=under) as alignd:
        assert is_rewritten(alignd)

        for pid in (alignd.process.pid, *alignd.children()):
            for descriptor in closed:
                assert os.readlink(f"/proc/{pid}/fd/{descriptor}") == os.devnull
    assert alignd.returncode == 0
    assert alignd.log() == ""


def fill(path: Path) -> int:
    """Send to the datagram socket at *path* until its queue is full; how many it took."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(str(path))
        for count in range(100_000):
            try:
                sender.send(b"X_NOT_READ=1")
            except BlockingIOError:
                return count
    raise AssertionError("its queue has no end")


def test_a_manager_that_hears_nothing_holds_up_nothing_and_is_told_later(
    directory: Path, nameserver: Nameserver
) -> None:
    environment = {"WATCHDOG_USEC": "900000"}
    with run_alignd(
        directory / "alignd", nameserver.address, TWO, environment=environment
    ) as alignd:
        before = set(alignd.children())
        assert fill(directory / "alignd/notify") > 0

        alignd.process.send_signal(signal.SIGHUP)
        is_said(alignd, "ready", 2)
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(set(alignd.children()) - before) == 1, "another worker")

        alignd.wait_for_notice("RELOADING=1")
        alignd.wait_for_notice("READY=1")
        alignd.wait_for_notice("WATCHDOG=1")


def connections(path: Path) -> Iterator[socket.socket]:
    """Connect to the stream socket at *path* until its queue is full."""
    for _ in range(100):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(str(path))
        except BlockingIOError:
            client.close()
            return
        yield client
    raise AssertionError("its queue has no end")


def test_a_socket_whose_owner_hangs_is_left_to_it_at_once(directory: Path) -> None:
    path = directory / "milter.sock"
    config = directory / "alignd.conf"
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen(0)
        waiting = list(connections(path))
        config.write_text(configuration(socket=f"unix:{path}"))
        command = [sys.executable, "-m", "alignd", "serve", "--config", str(config)]

        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

        for each in waiting:
            each.close()
    assert done.returncode == os.EX_UNAVAILABLE
    assert f"unix:{path}: another process serves it" in done.stderr


@ROOT_ONLY
def test_nonsense_in_the_list_of_nameservers_ends_nothing(
    directory: Path, nameserver: Nameserver
) -> None:
    listed = directory / "resolv.conf"
    listed.write_text("nameserver 127.0.0.1\n")
    hiding = f'mount --bind {listed} /etc/resolv.conf && exec "$@"'
    under = ("unshare", "--mount", "bash", "-c", hiding, "bash")
    with run_alignd(
        directory / "alignd", nameserver.address, "[dns]\nnameservers = []\n", under=under
    ) as alignd:
        (victim,) = alignd.children()
        # In place: the mount is of this file.
        listed.write_bytes(b"nameserver nonsense\nnameserver 127.0.0.1 # \xe9\n")

        os.kill(victim, signal.SIGKILL)

        wait_until(lambda: set(alignd.children()) - {victim}, "another worker")
        assert is_rewritten(alignd)
        alignd.process.send_signal(signal.SIGHUP)
        alignd.wait_for_notice("RELOADING=1")
        alignd.wait_for_notice("READY=1")
        assert is_rewritten(alignd)


@ROOT_ONLY
def test_as_process_1_of_a_container_it_reaps_what_it_has_not_started(
    directory: Path, nameserver: Nameserver
) -> None:
    under = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "--")
    with run_alignd(directory / "alignd", nameserver.address, under=under) as alignd:
        (supervisor,) = alignd.children()
        before = set(children_of(supervisor))
        inside = ("nsenter", f"--target={supervisor}", "--pid", "--")
        orphan = ("sh", "-c", "read line <&3 &")  # its parent ends at once
        reading, writing = os.pipe()
        subprocess.run(
            ("bash", "-c", f'exec "$@" 3<&{reading}', "bash", *inside, *orphan),
            pass_fds=[reading],
            check=True,
            timeout=30,
        )
        os.close(reading)
        wait_until(lambda: set(children_of(supervisor)) - before, "the orphan")

        os.close(writing)  # the orphan ends

        wait_until(lambda: set(children_of(supervisor)) == before, "it to be reaped")
        assert is_rewritten(alignd)
        os.kill(supervisor, signal.SIGTERM)
        assert alignd.process.wait(timeout=20) == 0
