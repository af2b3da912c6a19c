"""What the ledger's process does with its rings while its file fails: nothing is lost unsaid."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pytest

from alignd.config.file import parse_configuration
from alignd.config.nameservers import nameservers_of
from alignd.config.signer import load_signer
from alignd.feedback.disagreement import Kind
from alignd.ledger.answer import Answer, Finding
from alignd.ledger.batch import DAY, DomainKey
from alignd.ledger.event import EventKind
from alignd.ledger.place import LedgerPlace
from alignd.ledger.receivers.opening import ReceiversLedger
from alignd.ledger.ring import Rings
from alignd.ledger.spool import Spool
from alignd.ledger.tally import Tally
from alignd.ledger.watch.states import new_event
from alignd.ledger.writer import Writer
from alignd.reports.ours import Origin
from alignd.reports.report import Outcome
from alignd.service.ledger import server as ledger_server
from alignd.service.ledger import tasks as ledger_tasks
from alignd.service.ledger.place import LedgerOptions
from alignd.service.ledger.server import LedgerServer
from alignd.service.setup import Setup
from alignd.service.supervisor import LEDGER_END_SECONDS
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from alignd.telemetry.prometheus import exposition
from alignd.telemetry.words import ReplyKind, ReportOrigin, ReportResult
from tests.lab.readiness import wait_until
from tests.support.configtext import BASE
from tests.support.receivers import LOST, OUTAGE, REPORT, ROW
from tests.support.scrape import Scrape

RING_OCTETS = 16_384  # room for some 150 messages
NOW = time.time()


class Lab:
    """The memory of a service with one worker, and the processes that read it, one by one."""

    def __init__(self, directory: Path, log: TextIO) -> None:
        self.file = directory / "state" / "ledger.sqlite"
        self.rings = Rings(1, RING_OCTETS)
        self.worker = self.rings.writer(0)
        self.sent = 0
        self._metrics = Metrics(1)
        self._log = MessageLog(log)
        configuration = parse_configuration(
            BASE + '\n[dns]\nnameservers = ["192.0.2.1"]\n[ledger]\nwatch = "0s"\n', ""
        )
        setup = Setup(
            configuration, load_signer(configuration.dkim), nameservers_of(configuration.dns)
        )
        self._options = LedgerOptions(
            LedgerPlace(self.file), Writer("smtp2.easyredmine.com", "outbound"), setup
        )

    def start(self) -> LedgerServer:
        """A server whose main thread the test is."""
        server = LedgerServer(
            self._options, self.rings.readers(), self._metrics.of_ledger(), self._log
        )
        server.start()
        return server

    def send(self, number: int, domain: str = "mycompany.com") -> int:
        """Have the worker answer messages; how many the ring had room for."""
        finding = Finding("rewrite", "relay-not-authorised")
        payload = Answer("", domain, finding).encoded()
        taken = sum(
            self.worker.write(NOW, f"{self.sent + each}", payload) for each in range(number)
        )
        self.sent += number
        return taken

    def written(self) -> int:
        with closing(sqlite3.connect(self.file)) as database:
            (count,) = database.execute("SELECT sum(messages) FROM hours").fetchone()
        return int(count or 0)

    def metric(self, name: str, **labels: str) -> float:
        return self.scrape().of(f"alignd_ledger_{name}", **labels)

    def scrape(self) -> Scrape:
        return Scrape(exposition(self._metrics, "1").decode())

    def await_state(self, server: LedgerServer, state: str) -> None:
        def has_come() -> bool:
            server.collect()
            server.show_state()
            return self.metric("state", state=state) == 1

        wait_until(has_come, f"the ledger to be {state}")

    def await_saved(self, server: LedgerServer) -> None:
        def is_saved() -> bool:
            server.collect()
            return self.rings.unsaved == 0

        wait_until(is_saved, "all messages to be in the file")

    def lose_directory(self, server: LedgerServer) -> None:
        self.file.parent.rename(self._elsewhere)
        self.send(1)
        self.await_state(server, "failing")

    def break_file(self) -> None:
        for each in self._elsewhere.iterdir():
            if each.name != self.file.name:
                each.unlink()
        (self._elsewhere / self.file.name).write_bytes(b"no database " * 1000)

    def find_directory(self) -> None:
        self._elsewhere.rename(self.file.parent)

    @property
    def _elsewhere(self) -> Path:
        return self.file.parent.with_name("elsewhere")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def lab(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(ledger_server, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(ledger_server, "_LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(ledger_server, "_WRITE_SECONDS", 0.02)
    monkeypatch.setattr(ledger_server, "_MOST_WRITE_SECONDS", 0.02)
    with log.open("a") as stream:
        lab = Lab(tmp_path, stream)
        lab.file.parent.mkdir()
        yield lab


def test_what_is_said_before_the_file_can_be_opened_is_counted_when_it_can(
    lab: Lab, log: Path
) -> None:
    lab.file.parent.rmdir()
    server = lab.start()
    lab.await_state(server, "failing")
    lab.send(5)
    assert "ledger is not written problem=" in log.read_text()
    assert "no such directory" in log.read_text()
    lab.file.parent.mkdir()
    lab.await_state(server, "good")
    server.end()
    assert "ledger is written again" in log.read_text()
    assert (lab.written(), lab.metric("messages_written_total")) == (5, 5)
    assert lab.rings.unsaved == 0


def test_while_the_file_is_away_much_more_than_a_ring_has_room_for_waits(lab: Lab) -> None:
    server = lab.start()
    lab.await_state(server, "good")
    lab.lose_directory(server)
    for _ in range(20):
        assert lab.send(50) == 50
        server.collect()
    server.show_state()
    assert lab.metric("messages_waiting") == lab.sent == 1001
    lab.find_directory()
    lab.await_state(server, "good")
    server.end()
    assert lab.written() == lab.sent
    assert lab.metric("messages_dropped_total") == 0


def test_what_only_a_process_had_that_was_killed_is_counted_as_lost(lab: Lab) -> None:
    server = lab.start()
    lab.await_state(server, "good")
    lab.lose_directory(server)
    for _ in range(4):
        lab.send(50)
        server.collect()
    server.end()  # in vain, so it ends as if it was killed
    assert lab.rings.unsaved == lab.sent == 201
    lab.find_directory()
    lab.send(1)
    another = lab.start()
    lab.await_state(another, "good")
    another.end()
    lost = lab.metric("messages_dropped_total", cause="process-ended")
    assert 0 < lost < lab.sent
    assert lab.written() + lost == lab.sent
    assert lab.rings.unsaved == 0


def test_who_is_killed_before_the_rings_know_what_is_in_the_file_is_not_counted_twice(
    lab: Lab,
) -> None:
    lab.send(30)
    (reader,) = lab.rings.readers()
    tally = Tally({}, {})
    tally.add(reader.source, reader.read())
    options = lab._options
    with closing(Spool(options.place, options.writer, time.time, print)) as spool:
        batch, admitted = tally.take()
        spool.write(batch, tally.numbers, admitted)
    assert lab.rings.unsaved == 30  # the process ends here

    lab.send(5)
    server = lab.start()
    lab.await_state(server, "good")
    server.end()
    assert lab.written() == 35
    assert lab.metric("messages_dropped_total") == 0


def test_what_was_written_when_that_seemed_to_fail_is_not_written_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailsBehindCommit(Spool):
        failures = 0

        def write(self, *arguments: Any) -> None:
            super().write(*arguments)
            if not FailsBehindCommit.failures:
                FailsBehindCommit.failures += 1
                raise OSError("a disk")

    monkeypatch.setattr(ledger_server, "Spool", FailsBehindCommit)
    lab.send(5)
    server = lab.start()
    lab.await_saved(server)
    lab.send(2)
    lab.await_saved(server)
    server.end()
    assert FailsBehindCommit.failures == 1
    assert (lab.written(), lab.metric("messages_written_total")) == (7, 7)


def test_a_ledger_that_moves_takes_what_comes_and_misses_nothing_that_was_elsewhere(
    lab: Lab, tmp_path: Path
) -> None:
    first, second = lab.file, tmp_path / "second.sqlite"
    for file, messages in ((first, 5), (second, 7), (first, 9)):
        lab.file = file
        lab._options = LedgerOptions(LedgerPlace(file), lab._options.writer, lab._options.setup)
        lab.send(messages)
        server = lab.start()
        lab.await_state(server, "good")
        server.end()
    assert lab.written() == 14
    lab.file = second
    assert lab.written() == 7
    assert lab.metric("messages_dropped_total") == 0


def test_a_file_that_breaks_is_replaced_and_known_domains_stay_known(lab: Lab, log: Path) -> None:
    server = lab.start()
    lab.send(1, "first.example")
    lab.await_state(server, "good")
    lab.await_saved(server)
    lab.lose_directory(server)  # so that nobody has it open
    lab.break_file()
    lab.find_directory()
    lab.send(2, "second.example")
    lab.await_saved(server)
    server.end()
    assert "ledger is broken and was put aside as" in log.read_text()
    with closing(sqlite3.connect(lab.file)) as database:
        domains = database.execute("SELECT domain FROM admitted ORDER BY domain").fetchall()
    assert domains == [("first.example",), ("mycompany.com",), ("second.example",)]
    assert lab.written() == 3


def test_a_disk_that_stalls_is_told_of_and_mail_waits_in_memory(
    lab: Lab, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_server, "_STALL_SECONDS", 0.05)
    server = lab.start()
    lab.await_state(server, "good")
    with closing(sqlite3.connect(lab.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # writing waits for it as for a disk
        lab.send(1)
        lab.await_state(server, "failing")
        assert "the disk does not respond" in log.read_text()
        for _ in range(5):
            assert lab.send(100) == 100
            server.collect()
        other.execute("ROLLBACK")
    lab.await_state(server, "good")
    server.end()
    assert lab.written() == lab.sent


def test_nothing_is_written_while_nothing_is_said(lab: Lab) -> None:
    server = lab.start()
    lab.send(1)
    lab.await_saved(server)
    with closing(sqlite3.connect(lab.file)) as database:

        def scalar(statement: str) -> int:
            (number,) = database.execute(statement).fetchone()
            return int(number)

        wait_until(lambda: scalar("SELECT count(*) FROM relays"), "the first sign of life")
        before = scalar("PRAGMA data_version")
        (writer,) = (each for each in threading.enumerate() if each.name == "ledger writer")
        writer.join(0.2)  # several rounds
        assert scalar("PRAGMA data_version") == before
        lab.send(1)
        lab.await_saved(server)
        assert scalar("PRAGMA data_version") > before
    server.end()


class Failing:
    """A task that fails as by a bug, and works the second time."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, ended: threading.Event) -> None:
        self.runs += 1
        if self.runs == 1:
            raise KeyError("a bug")
        ended.wait()


class Stubborn:
    """A task that does not hear of the end, as one that waits for a server."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def run(self, ended: threading.Event) -> None:  # noqa: ARG002
        self.released.wait()


def test_the_end_waits_for_what_is_to_be_written_and_for_no_server(lab: Lab) -> None:
    server = lab.start()
    lab.await_state(server, "good")
    task = Stubborn()
    server.begin("stubborn", task.run)
    lab.send(3)
    began = time.monotonic()
    server.end()
    assert lab.written() == 3
    assert time.monotonic() - began < LEDGER_END_SECONDS
    task.released.set()


def test_a_task_with_a_bug_is_run_again_and_told_of(lab: Lab, log: Path) -> None:
    server = lab.start()
    task = Failing()
    server.begin("failing", task.run)
    wait_until(lambda: task.runs == 2, "another run")
    server.end()
    assert "ledger goes on after error=" in log.read_text()


def test_what_others_write_of_receivers_is_counted_from_then_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_tasks, "_RECEIVERS_SECONDS", 0.02)
    today = int(NOW) // DAY * DAY
    lost, outage, later = (
        *(LOST._replace(day=today), OUTAGE._replace(day=today)),
        LOST._replace(day=today, kind="of-a-later-alignd"),
    )

    def refused(kind: str) -> float:
        return lab.scrape().of("alignd_feedback_messages_total", kind=kind)

    def reported(origin: str, result: str) -> float:
        scrape = lab.scrape()
        return scrape.of("alignd_reported_messages_total", origin=origin, result=result)

    server = lab.start()
    lab.await_state(server, "good")
    ledger = ReceiversLedger(f"sqlite:///{lab.file}")
    ledger.add_replies({lost: 7}, [], "feedback", 1)
    ledger.add_report(replace(REPORT, end=today), {ROW: 1}, NOW)
    wait_until(lambda: lab.scrape().of("alignd_reports"), "the report to be seen")
    before = refused("lost")
    event = new_event(
        EventKind.REJECTED,
        {},
        {},
        at=NOW,
        key=DomainKey("", "a.example"),
        leg="outbound",
        relay="",
    )
    fails = ROW._replace(
        first_day=today, last_day=today, origin="rewritten", result="fail", is_foretold=False
    )
    foreign, later_word = fails._replace(origin="foreign"), fails._replace(result="later")
    rows = {fails: 4, foreign: 6, later_word: 8}
    reported_before = reported("rewritten", "fail")
    ledger.add_report(replace(REPORT, id="failing", end=today), rows, NOW)
    wait_until(lambda: reported("rewritten", "fail"), "the rows to be seen")
    ledger.add_replies({lost: 3, outage: 1, later: 2}, [event], "feedback", 2)
    wait_until(lambda: refused("outage"), "the replies to be seen")
    server.end()

    assert refused("lost") - before == 3
    assert (refused("outage"), refused("unknown"), refused("envelope")) == (1, 2, 0)
    assert reported("rewritten", "fail") - reported_before == 4
    assert lab.metric("events_total", kind="rejected") == 1
    assert lab.scrape().of("alignd_reports_newest_end_timestamp_seconds") == today


def test_metrics_have_the_words_of_reports() -> None:
    assert [each.value for each in ReportOrigin] == [
        each.value for each in Origin if each is not Origin.FOREIGN
    ]
    assert [each.value for each in ReportResult] == [each.value for each in Outcome]


def test_metrics_have_the_words_of_replies() -> None:
    assert [each.value for each in ReplyKind] == [each.value for each in Kind]
