"""The map of `alignd return` in the whole service: what Postfix is told, come what may."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time

import pytest

from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import Kind, encode
from alignd.return_path.keyring import Key, KeyState, id_of
from alignd.service.return_map import MAX_CONNECTIONS
from alignd.telemetry.status import Status, parse_status
from tests.lab import cast
from tests.lab.alignd import Return, run_return
from tests.lab.nameserver import Nameserver
from tests.lab.processes import run_daemon, stop
from tests.lab.readiness import accepts, free_ports, open_directory, wait_until
from tests.lab.socketmap import ClosedError, SocketmapConnection, ask
from tests.support.scrape import Watched

pytestmark = pytest.mark.wire

FIRST, SECOND = b"k" * 32, b"l" * 32
MARKY = "OK marky.mark@mycompany.com"
REFUSED = "NOTFOUND "


def address(
    secret: bytes = FIRST, author: str = "marky.mark@mycompany.com", kind: Kind = Kind.AUTHOR
) -> str:
    local_part, _, domain = author.partition("@")
    made = encode(
        Mailbox(local_part, Domain(domain)),
        kind,
        Domain(cast.NOTIFICATIONS_DOMAIN),
        Key(secret, KeyState.SIGN),
        time(),
    )
    assert isinstance(made, Mailbox)
    return made.address


@dataclass(frozen=True, slots=True)
class Service:
    """`alignd return`, with its keys and its metrics."""

    running: Return
    watched: Watched
    key_file: Path

    def ask(self, key: str) -> str:
        return ask(self.running.map_path, key)

    def write_keys(self, *lines: tuple[str, bytes]) -> None:
        self.key_file.write_text("".join(f"{state} {key.hex()}\n" for state, key in lines))

    def await_reply(self, key: str, reply: str) -> None:
        wait_until(lambda: self.ask(key).startswith(reply), f"{reply} for {key}")

    def configure(self, old: str, new: str) -> None:
        """Change the configuration, and send HUP."""
        path = self.running.alignd.config_path
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.running.alignd.process.send_signal(signal.SIGHUP)

    def map_process(self) -> int:
        return wait_until(self.running.map_process, "the map")

    def status(self) -> Status:
        return parse_status(self.watched.request("/status").body.encode())

    def lookups(self) -> dict[str, float]:
        counted = self.watched.scrape().counted("alignd_return_lookups_total")
        return {result: number for (result,), number in counted.items()}


Start = Callable[..., Service]


@contextmanager
def run_service(
    directory: Path, nameserver: Nameserver, more: str = "", *, has_keys: bool = True
) -> Iterator[Service]:
    key_file = directory / "keys"
    key_file.touch(0o600)
    (port,) = free_ports(1)
    changes = f'[return]\nkeys = "{key_file}"\nblocked = ["spammed@mycompany.com"]\n{more}'
    if has_keys:
        key_file.write_text(f"sign {FIRST.hex()}\n")
    with run_return(
        directory / "return", nameserver.address, changes, metrics=f"127.0.0.1:{port}"
    ) as running:
        watched = Watched(running.alignd, port)
        watched.wait_until_served()
        yield Service(running, watched, key_file)


@pytest.fixture(scope="module")
def shared(nameserver: Nameserver) -> Iterator[Service]:
    """One for the tests that leave it as they found it."""
    with open_directory() as directory, run_service(directory, nameserver) as service:
        yield service


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def test_postfix_is_told_whose_an_address_is_and_it_is_counted(shared: Service) -> None:
    asked = {
        address(): MARKY,
        address(kind=Kind.BOUNCE).upper(): MARKY,
        "x" + address(): REFUSED,
        address(author="spammed@mycompany.com"): REFUSED,
        f"helpdesk@{cast.NOTIFICATIONS_DOMAIN}": REFUSED,
    }
    before = shared.lookups()
    with SocketmapConnection(shared.running.map_path) as connection:
        assert connection.ask_all(list(asked)) == tuple(asked.values())
        assert connection.ask(address(SECOND)).startswith("TEMP ")
        assert connection.ask(address(), "virtual").startswith("TEMP ")

    counted = shared.lookups()
    assert {name: number - before.get(name, 0) for name, number in counted.items()} == {
        "found": 2,
        "forged": 1,
        "blocked": 1,
        "form": 1,
        "unknown-key": 1,
        "failed": 1,
    }
    assert stat.S_IMODE(shared.running.map_path.stat().st_mode) == 0o666


def test_postfix_itself_reads_the_replies(shared: Service, tmp_path: Path) -> None:
    if shutil.which("postmap") is None:
        pytest.skip("Postfix is not installed")
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")

    def query(key: str) -> subprocess.CompletedProcess[str]:
        table = f"socketmap:unix:{shared.running.map_path}:return"
        command = ["postmap", "-c", str(tmp_path), "-q", key, table]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    found, refused, later = query(address()), query("x" + address()), query(address(SECOND))

    assert (found.returncode, found.stdout) == (0, "marky.mark@mycompany.com\n")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", "")
    assert later.returncode == 1
    assert "temporary error: the key of this address is not known yet" in later.stderr


def test_the_service_tells_of_its_keys_and_no_secret(shared: Service) -> None:
    status = shared.status()
    log = shared.running.alignd.log()

    assert status.supervisor.in_force.leg == "return"
    (domain,) = status.supervisor.in_force.return_domains
    assert (domain.domain, domain.keys) == (cast.NOTIFICATIONS_DOMAIN, {id_of(FIRST): "sign"})
    assert status.return_map is not None
    assert status.return_map.pid == shared.map_process()
    assert status.return_map.digest == status.supervisor.in_force.digest
    assert "return_keys_accept=0 return_keys_sign=1 return_keys_retired=0" in log
    assert FIRST.hex() not in log + shared.watched.request("/status").body


def test_a_slow_client_is_cut_and_others_do_not_wait(shared: Service) -> None:
    with (
        SocketmapConnection(shared.running.map_path) as slow,
        SocketmapConnection(shared.running.map_path) as other,
    ):
        slow.socket.sendall(b"80:return marky")
        replies = [other.ask(address()) for _ in range(1000)]
        assert set(replies) == {MARKY}
        with pytest.raises(ClosedError):
            slow.replies(1)
        assert other.ask(address()) == MARKY


def test_connections_are_bounded_and_each_of_the_newest_is_served(shared: Service) -> None:
    with ExitStack() as opened:
        connections = [
            opened.enter_context(SocketmapConnection(shared.running.map_path))
            for _ in range(MAX_CONNECTIONS + 10)
        ]
        assert {each.ask(address()) for each in connections[10:]} == {MARKY}
        for each in connections[:10]:
            with pytest.raises((ClosedError, ConnectionError)):
                each.ask(address())


def test_a_map_that_was_killed_is_replaced_and_postfix_waits_for_it(shared: Service) -> None:
    killed = shared.map_process()
    os.kill(killed, signal.SIGKILL)

    assert shared.ask(address()) == MARKY

    assert shared.map_process() != killed
    wait_until(lambda: shared.watched.request("/readyz").status == 200, "all to be well")


def test_a_map_that_hangs_is_missing_and_replaced(shared: Service) -> None:
    hanging = shared.map_process()
    stop(hanging)
    replies: list[str] = []
    asking = threading.Thread(target=lambda: replies.append(shared.ask(address())))
    asking.start()

    def is_told() -> bool:
        response = shared.watched.request("/readyz")
        missing = shared.watched.scrape()["alignd_return_map_missing"]
        is_missing = response.body == "the map of return addresses is missing\n"
        return is_missing and response.status == 503 and missing == 1

    wait_until(is_told, "the map to be missed")
    asking.join(timeout=30)

    assert replies == [MARKY]
    assert shared.map_process() != hanging
    assert f"process hangs and is killed process=map pid={hanging}" in shared.running.alignd.log()


def test_keys_come_are_rotated_and_go_bad_without_a_signal(
    directory: Path, nameserver: Nameserver
) -> None:
    with run_service(directory, nameserver, has_keys=False) as service:
        log = service.running.alignd.log
        assert service.ask(address()).startswith("TEMP ")
        assert service.ask(f"helpdesk@{cast.NOTIFICATIONS_DOMAIN}") == REFUSED
        assert "return keys are not there: mail to their addresses waits at its sender" in log()
        assert service.watched.request("/readyz").status == 200
        assert "return-keys" in service.watched.request("/readyz").body

        service.write_keys(("sign", FIRST))
        service.await_reply(address(), MARKY)
        assert service.ask(address(SECOND)).startswith("TEMP ")

        service.write_keys(("sign", FIRST), ("accept", SECOND))
        service.await_reply(address(SECOND), MARKY)
        assert service.ask(address()) == MARKY

        service.write_keys(("retired", FIRST), ("sign", SECOND))
        service.await_reply(address(), REFUSED)
        assert service.ask(address(SECOND)) == MARKY
        # The supervisor reads them on its own, and the next map has what it has seen.
        states = f"{id_of(FIRST)}:retired {id_of(SECOND)}:sign"
        in_force = f'return keys in force path={service.key_file} keys="{states}"'
        wait_until(lambda: in_force in log(), "the supervisor to see it, too")

        service.key_file.chmod(0o644)
        unreadable = "return keys cannot be read: those of before stay in force"
        wait_until(lambda: unreadable in log(), "the mode to be seen")
        os.kill(service.map_process(), signal.SIGKILL)  # the next one has them, too
        assert service.ask(address(SECOND)) == MARKY
        assert service.ask(address()) == REFUSED
        (domain,) = service.status().supervisor.in_force.return_domains
        assert domain.keys_are_old

        service.key_file.chmod(0o600)
        wait_until(lambda: service.watched.request("/readyz").body == "ok\n", "all to be well")
        assert log().count(unreadable) == 1
        wait_until(lambda: log().count(in_force) == 2, "the log to say that they hold again")


def test_a_reload_reaches_the_map_and_a_bad_one_does_not(
    directory: Path, nameserver: Nameserver
) -> None:
    with run_service(directory, nameserver) as service:
        alignd = service.running.alignd
        with SocketmapConnection(service.running.map_path) as connection:
            service.configure("spammed@", "marky.mark@")
            alignd.wait_for_notice("RELOADING=1")
            alignd.wait_for_notice("READY=1")
            wait_until(lambda: connection.ask(address()) == REFUSED, "the block")
            assert connection.ask(address(author="spammed@mycompany.com")).startswith("OK ")

            service.configure(f'keys = "{service.key_file}"', 'keys = ""')
            alignd.wait_for_notice("RELOADING=1")
            alignd.wait_for_notice("READY=1")
            assert "there are no return addresses: set return.keys" in alignd.log()
            assert connection.ask(address(author="spammed@mycompany.com")).startswith("OK ")


def test_both_services_run_from_one_configuration(directory: Path, nameserver: Nameserver) -> None:
    with run_service(directory, nameserver) as service:
        config_path = service.running.alignd.config_path
        outbound = re.search(r'socket = "unix:(.*outbound.sock)"', config_path.read_text())
        assert outbound is not None
        command = [sys.executable, "-m", "alignd", "serve", "--config", str(config_path)]
        log = directory / "serve.log"
        with run_daemon(command, log, lambda: accepts(Path(outbound[1]))):
            wait_until(lambda: "ready socket=" in log.read_text(), "`alignd serve`")
            assert service.ask(address()) == MARKY

        # Whatever becomes of the one, the other goes on.
        assert service.ask(address()) == MARKY
        assert service.watched.request("/readyz").body == "ok\n"
