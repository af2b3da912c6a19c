"""The ledger in the whole service: what the log says of messages is in it, whatever befalls it."""

import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignd.return_path.address import Kind
from alignd.telemetry.words import LedgerState
from tests.lab.alignd import run_return
from tests.lab.milter_client import ALL_ACTIONS, CHANGE_HEADERS, MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.postgresql import PostgreSql
from tests.lab.processes import calls_itself
from tests.lab.readiness import open_directory, wait_until
from tests.lab.return_addresses import KEY_FILE, return_address
from tests.lab.settings import world
from tests.support.commandline import PROGRAM
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

AGENT, GOOD = "marky.mark@mycompany.com", "ann@good.example"
JULIA = ("julia@customer.example",)
ZONE = world("""\
mycompany.com.        TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
good.example.         TXT "v=spf1 include:spf.mailing.easy.cz -all"
; SERVFAIL _dmarc.broken.example TXT
""")
LIMIT = 60.0  # seconds, for what is tried again after growing pauses
# What a message of the log is known by.
_LINE = re.compile(r"^\w+: action=(\w+) domain=(\S+) .*?reason=(\S+)", re.MULTILINE)
_SUM = "SELECT action, domain, reason, sum(messages) FROM hours GROUP BY action, domain, reason"

_FEW_OCTETS = 8192  # of a file: less than a transaction needs

Counts = Counter[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Service:
    """alignd with a ledger."""

    watched: Watched
    file: Path
    queue_ids: Iterator[str]

    def send(self, author: str = AGENT, times: int = 1) -> None:
        with MilterConnection(self.watched.alignd.socket) as mta:
            for _ in range(times):
                queue_id = next(self.queue_ids)
                assert mta.send(author, JULIA, _message(author), queue_id=queue_id).accepted

    def logged(self) -> Counts:
        """What the log says of messages, those that were put off among them."""
        found = _LINE.findall(self.watched.alignd.log())
        return Counter((action, domain, reason) for action, domain, reason in found)

    def counted(self) -> Counts:
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as database:
            rows = database.execute(_SUM).fetchall()
        return Counter({(action, domain, reason): n for action, domain, reason, n in rows})

    def await_balance(self) -> None:
        wait_until(lambda: self.counted() == self.logged(), "all of the log to be counted", LIMIT)

    def ledger_process(self) -> int:
        def find() -> int | None:
            pids = self.watched.alignd.children()
            return next((pid for pid in pids if calls_itself(pid, "alignd: ledger")), None)

        return wait_until(find, "the process of the ledger")

    def await_another_process(self, old: int) -> None:
        wait_until(lambda: self.ledger_process() != old, "another process of the ledger", LIMIT)

    def await_state(self, state: LedgerState) -> None:
        def has_come() -> bool:
            return self.watched.scrape().of("alignd_ledger_state", state=state.value) == 1

        wait_until(has_come, f"the ledger to be {state.value}", LIMIT)

    def lost(self) -> float:
        return self.watched.scrape().of("alignd_ledger_messages_dropped_total")


def _message(author: str) -> bytes:
    return f"From: <{author}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()


Start = Callable[..., Service]


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


@pytest.fixture
def start(nameserver: Nameserver, directory: Path, queue_ids: Iterator[str]) -> Iterator[Start]:
    """Start alignd with a ledger; once more when the one before has been ended."""
    nameserver.serve(ZONE)
    with ExitStack() as running:
        count = iter(range(100))

        def start(url: str = "", more: str = "") -> Service:
            file = directory / "ledger.sqlite"
            options = f'url = "{url}"\nspool = "{file}"' if url else f'url = "sqlite:///{file}"'
            changes = f'[milter]\nworkers = 2\n[ledger]\nwatch = "0s"\n{options}\n{more}'
            place = directory / f"alignd{next(count)}"
            watched = running.enter_context(run_watched(place, nameserver.address, changes))
            return Service(watched, file, queue_ids)

        yield start


def test_what_the_log_says_of_messages_is_in_the_ledger(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    service.send(AGENT, 7)
    service.send(GOOD, 5)

    service.await_balance()
    assert service.counted()["rewrite", "mycompany.com", "relay-not-authorised"] == 7
    with closing(sqlite3.connect(service.file)) as database:
        states = database.execute(
            "SELECT domain, action, reason, policy, spf, dkim FROM states ORDER BY domain"
        ).fetchall()
        (days,) = database.execute("SELECT sum(messages) FROM days").fetchone()
        relay, leg = database.execute("SELECT relay, leg FROM relays").fetchone()
    assert states[1] == (
        "mycompany.com",
        "rewrite",
        "relay-not-authorised",
        "reject",
        "fail,fail",
        "none",
    )
    assert days == 12
    assert (relay, leg) == ("smtp2.easyredmine.com", "outbound")
    assert service.file.stat().st_mode & 0o777 == 0o600
    assert b"marky" not in service.file.read_bytes()


def test_nothing_is_lost_and_nothing_counted_twice_when_processes_are_killed(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    for _ in range(3):
        service.send(AGENT, 20)
        ledger = service.ledger_process()
        os.kill(min(service.watched.workers()), signal.SIGKILL)
        service.send(GOOD, 20)
        os.kill(ledger, signal.SIGKILL)
        service.await_another_process(ledger)
    service.await_balance()
    assert service.lost() == 0


def test_what_waits_is_written_when_the_service_ends(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    service.send(AGENT, 30)
    process = service.watched.alignd.process
    process.terminate()
    process.wait(timeout=LIMIT)
    assert service.counted() == service.logged()
    assert "ledger could not be written" not in service.watched.alignd.log()


def test_a_supervisor_that_is_killed_costs_no_message_that_was_answered(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    service.send(AGENT, 30)
    service.watched.alignd.process.kill()
    service.await_balance()


def test_a_message_that_is_put_off_is_counted_when_it_is_answered(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    queue_id = next(service.queue_ids)
    for actions, accepted in ((ALL_ACTIONS & ~CHANGE_HEADERS, False), (ALL_ACTIONS, True)):
        with MilterConnection(service.watched.alignd.socket, actions=actions) as mta:
            sent = mta.send(AGENT, JULIA, _message(AGENT), queue_id=queue_id)
            assert sent.accepted is accepted
    service.send(GOOD)
    wait_until(lambda: service.counted().total() == 2, "both messages")
    assert service.logged().total() == 3


def test_a_reload_counts_nothing_twice_and_may_switch_it_off(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    alignd = service.watched.alignd
    service.send(AGENT, 10)
    before = service.ledger_process()
    alignd.process.send_signal(signal.SIGHUP)
    alignd.wait_for_notice("READY=1")
    service.send(AGENT, 10)
    service.await_another_process(before)
    service.await_balance()

    text = alignd.config_path.read_text()
    alignd.config_path.write_text(re.sub(r"url = .*", 'url = ""', text))
    alignd.process.send_signal(signal.SIGHUP)
    alignd.wait_for_notice("READY=1")
    service.await_state(LedgerState.OFF)
    counted = service.counted()
    service.send(AGENT)
    assert service.counted() == counted
    assert service.lost() == 0


def test_while_the_disk_is_full_mail_goes_on_and_is_counted_later(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    ledger = service.ledger_process()
    before = resource.prlimit(ledger, resource.RLIMIT_FSIZE, (_FEW_OCTETS, -1))
    service.send(AGENT, 10)
    service.await_state(LedgerState.FAILING)
    service.send(AGENT, 10)
    assert service.counted().total() == 0
    assert "ledger is not written" in service.watched.alignd.log()
    resource.prlimit(ledger, resource.RLIMIT_FSIZE, before)
    service.await_balance()
    service.await_state(LedgerState.GOOD)
    assert "ledger is written again" in service.watched.alignd.log()


def test_what_comes_back_is_counted_in_a_file_of_its_own_unless_it_is_put_off(
    nameserver: Nameserver, directory: Path, queue_ids: Iterator[str]
) -> None:
    nameserver.serve(ZONE)
    keys = (
        f'[return]\nkeys = "{KEY_FILE}"\n[ledger]\nurl = "sqlite:///{directory}/ledger.sqlite"\n'
    )
    with run_return(directory / "return", nameserver.address, keys) as returning:
        author = return_address(Kind.AUTHOR, AGENT)
        with MilterConnection(returning.alignd.socket) as mta:
            for domain, is_taken in (("customer.example", True), ("broken.example", False)):
                julia = f"julia@{domain}"
                message = f"From: <{julia}>\r\n\r\nYes.\r\n".encode()
                sent = mta.send(julia, (author,), message, queue_id=next(queue_ids))
                assert sent.accepted is is_taken
        file = directory / "ledger-return.sqlite"
        wait_until(file.exists, "the ledger")  # of which the end of the service awaits the rest
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT leg, domain, messages FROM hours").fetchall()
    assert rows == [("return", "customer.example", 1)]


def test_a_broken_file_is_put_aside_and_a_new_one_begun(start: Start, directory: Path) -> None:
    (directory / "ledger.sqlite").write_bytes(b"this is no database, " * 1000)
    service = start()
    service.await_state(LedgerState.GOOD)
    assert "ledger is broken and was put aside as" in service.watched.alignd.log()
    assert (directory / "ledger.sqlite.broken").exists()
    service.send(AGENT, 3)
    service.await_balance()


def test_counts_wait_for_a_database_that_is_away(start: Start, postgresql: PostgreSql) -> None:
    name = postgresql.new_database()
    service = start(postgresql.url(name))
    service.await_state(LedgerState.GOOD)
    service.send(AGENT, 5)

    def shared() -> str:
        return postgresql.sql("SELECT coalesce(sum(messages), 0) FROM hours", name)

    wait_until(lambda: postgresql.sql("SELECT to_regclass('hours')", name), "the tables")
    wait_until(lambda: shared() == "5", "the first counts")
    postgresql.kill()
    service.send(AGENT, 5)
    service.await_state(LedgerState.WAITING)
    service.send(AGENT, 5)
    assert "ledger waits for its database" in service.watched.alignd.log()
    postgresql.start()
    wait_until(lambda: shared() == "15", "all that has waited", LIMIT)
    assert service.lost() == 0


def test_people_are_shown_what_was_counted_while_the_service_runs(start: Start) -> None:
    service = start()
    service.await_state(LedgerState.GOOD)
    service.send(times=3)
    service.send(GOOD, times=2)
    service.await_balance()

    def ask(*arguments: str) -> str:
        command = [*PROGRAM, "ledger", *arguments, "--database", f"sqlite:///{service.file}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def shown() -> dict[str, int]:
        found = map(json.loads, ask("--json").splitlines())
        return {each["domain"]: each["messages_30_days"] for each in found}

    assert shown() == {"mycompany.com": 3, "good.example": 2}
    assert "Removed" in ask("forget", "mycompany.com")
    service.send()
    rest: Counts = Counter({("rewrite", "mycompany.com", "relay-not-authorised"): 1})
    rest["pass", "good.example", "spf-aligned"] = 2
    wait_until(lambda: service.counted() == rest, "it to be counted again", LIMIT)
    assert shown() == {"mycompany.com": 1, "good.example": 2}
    assert service.lost() == 0
