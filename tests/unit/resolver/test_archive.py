"""The file of DNS answers: no message waits for it, and it neither grows nor ends its writer."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, RecordType
from alignd.resolver import archive as archive_module
from alignd.resolver.archive import Archive
from alignd.resolver.cache import Question
from alignd.resolver.resolver import Resolver
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.readiness import wait_until

TXT = RecordType.TXT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dns.sqlite"


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def archive(path: Path, reports: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    monkeypatch.setattr(archive_module, "_BATCH_SECONDS", 0.01)
    archive = Archive(path, keep_seconds=3600, report=reports.append)
    yield archive
    archive.end()


def question(number: int) -> Question:
    return (f"{number}.example", TXT)


def response(number: int, size: int = 10) -> bytes:
    query = dns.message.make_query(question(number)[0], "TXT")
    message = dns.message.make_response(query)
    strings = " ".join('"' + "x" * min(250, size - start) + '"' for start in range(0, size, 250))
    message.answer.append(dns.rrset.from_text(question(number)[0] + ".", 60, "IN", "TXT", strings))
    return message.to_wire()


def put_and_wait(archive: Archive, number: int) -> None:
    archive.put(question(number), response(number))
    wait_until(lambda: archive.get(question(number)), "the answer to be written")


def test_no_message_waits_while_another_process_holds_the_file(
    archive: Archive, path: Path
) -> None:
    put_and_wait(archive, 1)
    other = sqlite3.connect(path, isolation_level=None)
    for hold in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"):
        other.execute(hold)
        archive.put(question(2), response(2))  # its writer waits for the file now
        started = time.monotonic()
        for _ in range(100):
            assert archive.get(question(1))
        assert time.monotonic() - started < 2  # five seconds for each, at worst
        other.execute("ROLLBACK")
    other.close()


def test_the_file_does_not_grow_beyond_its_bound_and_has_the_newest(
    archive: Archive, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    octets = 2 * 2**20
    monkeypatch.setattr(archive_module, "ARCHIVE_OCTETS", octets)
    archive.end()
    small = Archive(path, keep_seconds=3600, report=pytest.fail)
    wire = response(0, 3000)
    for number in range(2000):  # six million octets
        small.put(question(number), wire)
        if number % 100 == 0:
            wait_until(lambda: small._waiting_octets == 0, "them to be written")
    put_and_wait(small, 2000)

    assert path.stat().st_size <= octets
    assert small.get(question(1990))
    assert small.get(question(0)) is None
    small.end()


def test_large_answers_are_not_written(archive: Archive) -> None:
    archive.put(question(1), response(1, 5000))
    put_and_wait(archive, 2)

    assert archive.get(question(1)) is None


def test_what_comes_faster_than_it_can_be_written_is_dropped(archive: Archive, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    wire = response(0, 3000)
    for number in range(5000):
        archive.put(question(number), wire)

    assert archive._waiting_octets <= archive_module.WAITING_OCTETS
    assert archive._waiting.qsize() < archive_module.WAITING_OCTETS / 3000
    other.execute("ROLLBACK")
    other.close()
    wait_until(lambda: archive._waiting_octets == 0, "it to be written")
    put_and_wait(archive, 5001)


def test_what_is_too_old_is_forgotten_as_time_goes_by(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "_BATCH_SECONDS", 0.01)
    monkeypatch.setattr(archive_module, "_FORGET_SECONDS", 0.05)
    archive = Archive(path, keep_seconds=3600, report=pytest.fail)
    archive.put(question(1), response(1))
    archive.put(question(2), response(2))
    wait_until(lambda: archive.get(question(2)), "the answers to be written")
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE answers SET heard = heard - 7200 WHERE name = '1.example'")

    wait_until(lambda: not archive.get(question(1)), "the old one to be forgotten")
    assert archive.get(question(2))
    archive.end()


def test_the_writer_outlives_what_fails_and_says_so_once(
    archive: Archive, path: Path, reports: list[str]
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("ALTER TABLE answers RENAME TO elsewhere")
    for number in range(3):
        archive.put(question(number), response(number))
        wait_until(lambda: archive._waiting_octets == 0, "it to fail")
    wait_until(lambda: reports, "the report")
    other.execute("ALTER TABLE elsewhere RENAME TO answers")
    other.close()

    put_and_wait(archive, 4)
    assert len(reports) == 1
    assert "DNS answers are not archived: OperationalError" in reports[0]


def threads_and_descriptors() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def refresh(resolver: Resolver, question: Question) -> None:
    """Have it refresh an answer, as the use of one does that expires soon."""
    resolver._refresher.put(question)


def finds_dns_down(resolver: Resolver) -> bool:
    resolver.for_message().look_up("silent.example", TXT)
    return resolver.is_down


def test_a_resolver_that_is_ended_leaves_no_thread_and_no_descriptor(path: Path) -> None:
    with run_nameserver() as nameserver:
        nameserver.serve('hot.example. 1 TXT "hot"\n; TIMEOUT silent.example.\n; TIMEOUT .\n')
        before = threads_and_descriptors()
        for _ in range(5):
            use_and_end(nameserver, path)

        wait_until(lambda: threads_and_descriptors() <= before, "them to end")


def use_and_end(nameserver: Nameserver, path: Path) -> None:
    """Have a resolver start all the threads that it has, and end it during an outage."""
    settings = {"nameservers": [nameserver.address], "timeout": "300ms", "min_ttl": "0s"}
    options = DnsOptions.model_validate(settings)
    resolver = Resolver(
        options,
        options.nameservers,
        lambda _: None,
        Archive(path, options.stale, print),
        keeps_sockets=True,
    )
    assert resolver.for_message().look_up("hot.example", TXT) == Answer((b"hot",))
    refresh(resolver, ("hot.example", TXT))
    wait_until(lambda: finds_dns_down(resolver), "the probes")
    resolver.end()
