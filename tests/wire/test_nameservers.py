"""The nameservers of the system: followed while mail passes, and kept when their file is bad."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.alignd import Alignd
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.network import Network
from tests.lab.private_etc import PrivateEtc
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import Watched, run_watched

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to make namespaces"),
]

ANN = "ann@good.example"
ZONE = world('good.example. 0 TXT "v=spf1 include:spf.mailing.easy.cz -all"\n')
SYSTEM = "[dns]\nnameservers = []\n"
LIMIT = 30
"""Seconds in which a change is followed: it takes two or three, on a machine that is idle."""
CHANGED = "nameservers changed nameservers="
KEPT = "no nameserver can be read: those of before stay in force"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with two nameservers, at 127.0.0.1 and 127.0.0.2, and alignd."""

    watched: Watched
    network: Network
    resolv_conf: Path
    first: Nameserver
    second: Nameserver

    @property
    def alignd(self) -> Alignd:
        return self.watched.alignd

    def get(self, path: str) -> tuple[int, str]:
        with self.network.entered():
            response = self.watched.request(path)
        return response.status, response.body

    def number(self, name: str, **labels: str) -> float:
        with self.network.entered():
            return self.watched.scrape().of(name, **labels)

    def passes(self) -> bool:
        """Whether a message of Ann, whose domain authorises the relay, stays as it is."""
        message = f"From: {ANN}\r\n\r\nHello\r\n".encode()
        with MilterConnection(self.alignd.socket) as mta:
            result = mta.send(ANN, ("julia@customer.example",), message)
        assert result.accepted
        return b"Alignd: action=rewrite" not in result.message

    def asks_only(self, nameserver: Nameserver) -> bool:
        """Whether messages to both workers are judged by what *nameserver* says alone."""
        others = [each for each in (self.first, self.second) if each is not nameserver]
        for each in (self.first, self.second):
            each.questions.clear()
        judged = [self.passes() for _ in range(6)]
        # The check of the relay's own DNS, in the background, may still ask the one of before.
        asked = [name for each in others for name, _ in each.questions]
        return all(judged) and "good.example." not in asked

    def count(self, line: str) -> int:
        return self.alignd.log().count(line)

    def reload(self) -> None:
        self.alignd.process.send_signal(signal.SIGHUP)
        self.alignd.wait_for_notice("RELOADING=1")
        self.alignd.wait_for_notice("READY=1")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    network = Network()
    network.add_address("fe80::53/64", "near")
    yield network
    network.close()


@pytest.fixture(scope="module")
def running(network: Network) -> Iterator[Machine]:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory())
        etc = PrivateEtc(directory)
        etc.resolv_conf.write_text("nameserver 127.0.0.1\n")
        with network.entered():
            first = stack.enter_context(run_nameserver(host="127.0.0.1", port=53))
            second = stack.enter_context(run_nameserver(host="127.0.0.2", port=53))
            for nameserver in (first, second):
                nameserver.serve(ZONE)
            for host in ("::1", "fe80::53%near"):
                stack.enter_context(run_nameserver(_Same(first), host=host, port=53))
            changes = f"[milter]\nworkers = 2\n{SYSTEM}"
            watched = stack.enter_context(
                run_watched(directory / "alignd", "127.0.0.1", changes, under=etc.under)
            )
        yield Machine(watched, network, etc.resolv_conf, first, second)


class _Same(Nameserver):
    """The same nameserver at another address."""

    def __init__(self, other: Nameserver) -> None:
        super().__init__()
        self._other = other

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        return self._other.respond(data, over_udp=over_udp)


@pytest.fixture
def machine(running: Machine) -> Machine:
    """It, while it asks the first nameserver and all is well."""
    rename_over(running.resolv_conf, b"nameserver 127.0.0.1\n")
    running.reload()
    assert running.asks_only(running.first)
    assert running.get("/readyz") == (200, "ok\n")
    return running


def write_in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def rename_over(path: Path, content: bytes) -> None:
    new = path.with_name("resolv.conf.new")
    new.write_bytes(content)
    new.rename(path)


def swap_symlinks(path: Path, content: bytes) -> None:
    target, new = path.with_name(f"stub-{len(content)}"), path.with_name("resolv.conf.link")
    target.write_bytes(content)
    new.symlink_to(target.name)
    new.rename(path)


@pytest.mark.parametrize("change", [write_in_place, rename_over, swap_symlinks])
def test_a_changed_file_is_followed_without_a_signal(
    machine: Machine, change: Callable[[Path, bytes], None]
) -> None:
    before = machine.count(f"{CHANGED}127.0.0.2")

    change(machine.resolv_conf, b"nameserver 127.0.0.2\n")

    wait_until(lambda: machine.asks_only(machine.second), "the second nameserver", LIMIT)
    wait_until(lambda: machine.count(f"{CHANGED}127.0.0.2") == before + 1, "a line of it", LIMIT)


@pytest.mark.parametrize(
    "spelling",
    [
        *("0:0:0:0:0:0:0:1", "::0001", "0.0.0.0", "::", "127.1", "::ffff:127.0.0.1"),
        *("fe80::53%near", "FE80:0::53%{near}"),
    ],
)
def test_every_spelling_is_heard(machine: Machine, spelling: str) -> None:
    rename_over(machine.resolv_conf, b"nameserver 127.0.0.2\n")
    machine.reload()
    spelling = spelling.format(near=machine.network.number_of("near"))

    rename_over(machine.resolv_conf, f"nameserver {spelling}\n".encode())
    machine.reload()

    assert machine.asks_only(machine.first)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"nameserver \xff\n", ":1: not an IP address:", id="not-text"),
        pytest.param(b"#\nnameserver 300.0.0.1\n", ":2: not an IP address:", id="malformed"),
        pytest.param(b"", ":1: has no line 'nameserver ADDRESS'", id="empty"),
        pytest.param(None, ":1: cannot be read: No such file or directory", id="missing"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_named_once(
    machine: Machine, content: bytes | None, problem: str
) -> None:
    named, kept = machine.count(f"/etc/resolv.conf{problem}"), machine.count(KEPT)
    refused = {"input": "nameservers", "result": "refused"}
    before = machine.number("alignd_input_reads_total", **refused)

    machine.resolv_conf.unlink()
    if content is not None:
        machine.resolv_conf.write_bytes(content)

    wait_until(lambda: machine.get("/readyz")[1] != "ok\n", "readyz to know of it", LIMIT)
    status, body = machine.get("/readyz")
    assert (status, "nameservers" in body) == (200, True)
    assert machine.number("alignd_input_reads_total", **refused) > before
    assert machine.number("alignd_input_last_read_successful", input="nameservers") == 0
    victim = min(machine.watched.workers())
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in machine.watched.workers(), "its end", LIMIT)
    machine.reload()
    assert machine.alignd.returncode is None
    wait_until(lambda: machine.asks_only(machine.first), "mail to pass as before", LIMIT)
    assert machine.count(f"/etc/resolv.conf{problem}") == named + 1
    assert machine.count(KEPT) == kept + 1


def test_a_bad_line_beside_a_good_one_costs_nothing(machine: Machine) -> None:
    rename_over(machine.resolv_conf, b"nameserver x\nnameserver 127.0.0.2\n")

    wait_until(lambda: machine.asks_only(machine.second), "the good one", LIMIT)
    wait_until(lambda: machine.count(":1: not an IP address: 'x'"), "a line of the other", LIMIT)
    assert machine.get("/readyz") == (200, "ok\n")


def test_hup_reads_the_file_at_once(machine: Machine) -> None:
    rename_over(machine.resolv_conf, b"nameserver 127.0.0.2\n")

    machine.reload()

    assert machine.asks_only(machine.second)
    assert "in force nameservers=1 signing_table_entries=0 private_keys=0" in machine.alignd.log()
