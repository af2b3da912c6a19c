"""The archive: nothing that befalls its file, its disk or its process costs more than a moment."""

import os
import shutil
import socket
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignd.config.nameservers import nameservers_of
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.archive import client as client_module
from alignd.resolver.archive import file as file_module
from alignd.resolver.archive import writer as writer_module
from alignd.resolver.archive.client import WAITING_OCTETS, ArchiveClient
from alignd.resolver.archive.datagrams import Reply, decode_question, encode_reply
from alignd.resolver.archive.memory import ROW_OCTETS, ArchiveMemory, Moment, Row
from alignd.resolver.archive.writer import STEADY_SECONDS, ArchiveWriter, SteadyClock
from alignd.resolver.resolver import Resolver
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.readiness import wait_until
from tests.support.archive import Archive, question, response, run_archive

TXT = RecordType.TXT
DAY = 86400.0
KEEP = 3 * DAY
GOOD = Answer((b"x" * 10,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dns.sqlite"


@pytest.fixture
def archive(path: Path) -> Iterator[Archive]:
    with run_archive(path) as archive:
        yield archive


def fill(path: Path, count: int = 1) -> None:
    """Have an archive write answers 1 to *count*, and end."""
    with run_archive(path) as archive:
        for number in range(1, count + 1):
            archive.client.put(question(number), response(number))
        archive.wait_until_in_file()


def wait_until_read(archive: Archive) -> None:
    wait_until(lambda: archive.server._writer.has_read, "the file to be read")


def questions_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as file:
        return [name for (name,) in file.execute("SELECT question FROM answers ORDER BY number")]


# The file


def test_answers_outlive_the_process(path: Path) -> None:
    fill(path, 3)

    with run_archive(path) as archive:
        wait_until_read(archive)
        assert [archive.client.get(question(number)) for number in (1, 3)] == [GOOD, GOOD]
        assert archive.client.get(question(4)) is None


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(9000))


def truncated(path: Path) -> None:
    fill(path, 100)
    os.truncate(path, 8192)


def overwritten(path: Path) -> None:
    fill(path, 100)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(12000))


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE things (name TEXT)")


def of_a_later_version(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA user_version = 99")


def with_a_trigger(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TRIGGER t AFTER INSERT ON answers BEGIN SELECT 1; END")


@pytest.mark.parametrize(
    "spoil",
    [
        garbage,
        truncated,
        overwritten,
        of_another_program,
        of_a_later_version,
        with_a_trigger,
    ],
    ids=lambda spoil: spoil.__name__.replace("_", "-"),
)
def test_a_broken_file_is_put_aside_and_made_anew(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(path)
    before = path.read_bytes()
    aside = path.with_name("dns.sqlite.broken")
    aside.write_text("an older one")

    with run_archive(path) as archive:
        archive.client.put(question(7), response(7))
        wait_until(lambda: "archived again" in archive.log(), "a new file", 30)
        archive.wait_until_in_file()
        assert archive.client.get(question(7)) == GOOD

    assert "TXT 7.example" in questions_in(path)
    assert aside.read_bytes() == before
    assert archive.log().count("was put aside") == 1
    assert archive.log().count("DNS answers are not archived") == 1


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("somebody's")
    path.symlink_to(target)


def a_link_to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_beside_it(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("somebody's")
    path.with_name("dns.sqlite-journal").symlink_to(target)


def a_missing_directory(path: Path) -> None:
    path.parent.rmdir()


@pytest.mark.parametrize(
    "obstruct",
    [a_pipe, a_directory, a_link, a_link_to_zero, a_link_beside_it, a_missing_directory],
    ids=lambda obstruct: obstruct.__name__.replace("_", "-"),
)
def test_what_is_no_file_is_left_alone_and_tried_again(
    tmp_path: Path, obstruct: Callable[[Path], None]
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    path = place / "dns.sqlite"
    obstruct(path)
    target = place / "target"

    with run_archive(path, log_path=tmp_path / "log") as archive:
        archive.client.put(question(1), response(1))
        wait_until(lambda: "DNS answers are not archived" in archive.log(), "the line")
        wait_until(lambda: archive.client.get(question(1)) == GOOD, "an answer from memory")
        if target.exists():
            assert target.read_text() == "somebody's"
            assert stat.S_IMODE(target.stat().st_mode) != 0o600
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        wait_until(lambda: "archived again" in archive.log(), "a new try", 30)
        archive.wait_until_in_file()

    assert questions_in(path) == ["TXT 1.example"]


def test_a_file_of_the_first_version_is_deleted_for_what_its_names_may_hold(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute(file_module._FIRST_SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS"))
        row = ("marky.mark._spf.example", "TXT", time.time(), response(1))
        file.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", row)

    fill(path)

    assert questions_in(path) == ["TXT 1.example"]
    everything = b"".join(each.read_bytes() for each in path.parent.glob("dns.sqlite*"))
    assert b"marky" not in everything
    assert "an earlier version was deleted" in path.with_suffix(".log").read_text()


def test_only_its_owner_can_read_the_file(path: Path) -> None:
    before = os.umask(0)
    try:
        path.touch(0o644)
        fill(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a write transaction, as another process may."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_a_file_that_another_holds_is_read_and_written_when_it_is_free(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_PATIENCE", 0.1)
    fill(path)
    with held(path), run_archive(path) as archive:
        archive.client.put(question(2), response(2))
        wait_until(lambda: "DNS answers are not archived" in archive.log(), "the line")
        wait_until(lambda: archive.client.get(question(2)) == GOOD, "an answer from memory")
        started = time.monotonic()
        for _ in range(100):
            archive.client.get(question(2))
        assert time.monotonic() - started < 5  # of a lock, a hundred times five seconds
        assert isinstance(archive.client.get(question(1)), LookupFailed)

    with run_archive(path) as archive:
        wait_until_read(archive)
        assert archive.client.get(question(1)) == GOOD


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(os.urandom(9000))
    other.replace(path)


def deleted(path: Path) -> None:
    path.unlink()


def scribbled_over(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def cut(path: Path) -> None:
    os.truncate(path, 0)


def begins_well(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(b"SQLite format 3")
    except FileNotFoundError:  # it is being replaced
        return False


def is_at_rest(path: Path) -> bool:
    """Whether answer 1000 is in the file, and no journal of a transaction beside it."""
    journal = path.with_name(f"{path.name}-journal")
    return b"TXT 1000.example" in path.read_bytes() and not (
        journal.exists() and journal.stat().st_size
    )


@pytest.mark.parametrize(
    "spoil",
    [replaced, deleted, scribbled_over, cut],
    ids=lambda spoil: spoil.__name__.replace("_", "-"),
)
def test_a_file_that_is_spoilt_while_in_use_is_made_anew_from_memory(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    fill(path, 300)
    with run_archive(path) as archive:
        wait_until_read(archive)
        archive.client.put(question(1000), response(1000))
        archive.wait_until_in_file()
        wait_until(lambda: is_at_rest(path), "the transaction to end")
        spoil(path)
        wait_until(lambda: begins_well(path), "another file", 30)
        archive.client.put(question(1001), response(1001))
        archive.wait_until_in_file()
        assert archive.client.get(question(300)) == GOOD

    assert {f"TXT {number}.example" for number in (1, 300, 1000, 1001)} <= set(questions_in(path))


def test_the_file_does_not_grow_beyond_its_bound_and_has_the_newest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    octets = 2 * 2**20
    monkeypatch.setattr(file_module, "ARCHIVE_OCTETS", octets)
    with run_archive(path) as archive:
        wire = response(0, 3000)
        for number in range(2000):  # six million octets
            archive.client.put(question(number), wire)
            if number % 200 == 0:
                archive.wait_until_in_file()
        archive.wait_until_in_file()
        assert not archive.dropped

    assert path.stat().st_size <= octets
    names = questions_in(path)
    assert "TXT 1999.example" in names
    assert "TXT 0.example" not in names


def test_large_answers_are_not_kept(archive: Archive) -> None:
    archive.client.put(question(1), response(1, 5000))
    archive.client.put(question(2), response(2))
    archive.wait_until_in_file()

    assert archive.client.get(question(1)) is None


# The clocks


@dataclass
class Clock:
    """Both clocks, which a test moves."""

    wall: float = 1e9
    monotonic: float = 1000.0

    def __call__(self) -> Moment:
        return Moment(self.wall, self.monotonic)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.mark.parametrize("step", [-DAY, -30 * DAY, 0, 10 * DAY])
def test_the_wall_clock_makes_no_answer_of_this_process_young_or_old(step: float) -> None:
    clock, memory = Clock(), ArchiveMemory(KEEP)
    memory.put("TXT a.example", b"a", clock.monotonic, clock())

    clock.wall += step

    clock.run(KEEP - 1)
    assert memory.get("TXT a.example", clock()) == b"a"
    clock.run(2)
    assert memory.get("TXT a.example", clock()) is None


def test_a_date_of_the_future_counts_as_now() -> None:
    clock, memory = Clock(), ArchiveMemory(KEEP)
    memory.add_read([Row("TXT a.example", clock.wall + 100 * DAY, b"a")], clock())

    assert memory.get("TXT a.example", clock())
    clock.run(KEEP + 1)
    assert memory.get("TXT a.example", clock()) is None


def test_a_clock_that_was_ahead_at_the_start_costs_no_answer_once_it_is_right(
    path: Path,
) -> None:
    fill(path)
    clock = Clock(wall=time.time() + 10 * DAY)
    memory = ArchiveMemory(KEEP)
    with writing(path, memory, clock) as writer:
        wait_until(lambda: writer.has_read, "the file to be read")
        assert memory.get("TXT 1.example", clock()) is None
        wait_until(lambda: not writer.problem(), "it to be written")

        clock.wall -= 10 * DAY

        assert memory.get("TXT 1.example", clock())
    assert questions_in(path) == ["TXT 1.example"]


@contextmanager
def writing(path: Path, memory: ArchiveMemory, clock: Clock) -> Iterator[ArchiveWriter]:
    """Run a writer whose time is *clock*."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(writer_module, "_BATCH_SECONDS", 0.01)
        writer = ArchiveWriter(path, KEEP, memory, print, print, clock)
        thread = threading.Thread(target=writer.run)
        thread.start()
        try:
            yield writer
        finally:
            writer.end()
            thread.join()


def test_what_is_too_old_is_deleted_when_the_clock_has_been_right_for_an_hour(
    path: Path,
) -> None:
    fill(path, 2)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE answers SET heard = 5e8 WHERE question = 'TXT 1.example'")
        file.execute("UPDATE answers SET heard = 5e9 WHERE question = 'TXT 2.example'")
    clock, memory = Clock(wall=1e9), ArchiveMemory(KEEP)
    with writing(path, memory, clock) as writer:
        wait_until(lambda: writer.has_read, "the file to be read")
        clock.run(STEADY_SECONDS - 60)
        clock.wall += 5
        clock.run(120)
        memory.put("TXT 3.example", b"3", clock.monotonic, clock())
        wait_until(lambda: not memory.has_unwritten, "it to be written")
        assert len(memory) == 3

        def has_forgotten() -> bool:
            clock.run(60)
            return len(memory) == 2

        wait_until(has_forgotten, "the old one to be forgotten")

    assert questions_in(path) == ["TXT 2.example", "TXT 3.example"]
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT max(heard) FROM answers").fetchone()[0] <= clock.wall


def test_a_clock_that_is_slewed_is_steady() -> None:
    clock = Clock()
    steady = SteadyClock(clock())
    for _ in range(100):
        clock.run(60)
        clock.wall += 0.03  # 500 ppm, the most that the kernel does
        seconds = steady.look(clock())

    assert seconds == 6000


# The memory


def test_the_memory_has_a_bound_and_the_oldest_make_room() -> None:
    clock = Clock()
    memory = ArchiveMemory(KEEP, octets=10 * (ROW_OCTETS + 100))
    name = "TXT {}.example".format
    lost = [
        memory.put(name(number), b"x" * 80, clock.monotonic, clock()) for number in range(10, 30)
    ]

    assert sum(lost) == 20 - len(memory) > 0
    assert memory.get(name(29), clock())
    assert memory.get(name(10), clock()) is None
    rows = memory.take_unwritten(10**6)
    assert [row.question for row in rows] == [name(number) for number in range(30 - len(rows), 30)]
    assert memory.put(name(30), b"x" * 80, clock.monotonic, clock()) == 0  # they are in the file


# The client


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, socket.socket, socket.socket]]:
    """The sockets of an archive that nobody serves: two of the client, two of the other side."""
    answers, questions = (socket.socketpair(type=socket.SOCK_DGRAM) for _ in range(2))
    yield (answers[0], questions[0], answers[1], questions[1])
    for each in (*answers, *questions):
        each.close()


def test_an_archive_that_does_not_reply_costs_one_question_a_moment_and_the_others_nothing(
    ends: tuple[socket.socket, ...],
) -> None:
    client = ArchiveClient(ends[0], ends[1], pytest.fail, print)
    started = time.monotonic()
    first = client.get(question(1))
    took = time.monotonic() - started
    spent = time.thread_time()
    others = {client.get(question(number)) for number in range(10_000)}
    spent = time.thread_time() - spent

    assert {first, *others} == {LookupFailed("the archive does not respond")}
    assert client_module.PATIENCE <= took < 1
    assert spent < 1
    # Asked once, and again after a second or more.
    assert decode_question(ends[3].recv(1000))[1] == "TXT 1.example"


def test_what_the_archive_does_not_take_is_dropped_and_nobody_waits(
    ends: tuple[socket.socket, ...],
) -> None:
    dropped: list[None] = []
    client = ArchiveClient(ends[0], ends[1], lambda: dropped.append(None), print)
    wire = response(0, 3000)
    spent = time.thread_time()
    for number in range(5000):
        client.put(question(number), wire)
    spent = time.thread_time() - spent

    taken = 5000 - len(dropped)
    assert taken * len(wire) <= WAITING_OCTETS + 10**6  # and what is in the socket
    assert dropped
    assert spent < 5
    client.end()


def test_a_reply_that_came_too_late_answers_no_other_question(
    ends: tuple[socket.socket, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_FIRST_ABSENCE", 0.0)
    monkeypatch.setattr(client_module, "PATIENCE", 0.2)
    client = ArchiveClient(ends[0], ends[1], pytest.fail, print)
    client._absence = 0.0
    assert isinstance(client.get(question(1)), LookupFailed)
    number, _ = decode_question(ends[3].recv(1000))
    ends[3].send(encode_reply(number, Reply(response(1), has_read=True)))

    def serve() -> None:
        number, asked = decode_question(ends[3].recv(1000))
        assert asked == "TXT 2.example"
        ends[3].send(encode_reply(number + 1, Reply(response(3), has_read=True)))
        ends[3].send(encode_reply(number, Reply(None, has_read=True)))

    server = threading.Thread(target=serve)
    server.start()
    monkeypatch.setattr(client_module, "PATIENCE", 10.0)
    assert client.get(question(2)) is None
    server.join()


def test_each_thread_gets_its_own_answer(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PATIENCE", 10.0)
    for number in range(40):
        archive.client.put(question(number), response(number, 10 + number))
    archive.wait_until_in_file()
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(20):
            got = archive.client.get(question(number))
            if got != Answer((b"x" * (10 + number),)):
                wrong.append(got)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_nonsense_on_a_socket_ends_nothing(archive: Archive) -> None:
    ends = archive.sockets.of_worker(0)
    for each in (b"", b"x", os.urandom(100), b"\xff" * 300):
        ends.questions.send(each)
        ends.answers.send(each)
    archive.client.put(question(1), response(1))

    wait_until(lambda: archive.client.get(question(1)) == GOOD, "an answer")
    assert "DNS archive goes on after" in archive.log()


# A resolver that is ended


def weight() -> tuple[int, int]:
    """The threads and descriptors of this process."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def refresh(resolver: Resolver, question: tuple[str, RecordType]) -> None:
    """Have it refresh an answer, as the use of one does that expires soon."""
    resolver._refresher.put(question)


def finds_dns_down(resolver: Resolver) -> bool:
    resolver.for_message().look_up("silent.example", TXT)
    return resolver.is_down


def test_a_resolver_that_is_ended_leaves_no_thread_and_no_descriptor(archive: Archive) -> None:
    archive.client.put(question(1), response(1))
    archive.wait_until_in_file()  # so that it has its own threads and descriptors
    with run_nameserver() as nameserver:
        nameserver.serve('hot.example. 1 TXT "hot"\n; TIMEOUT silent.example.\n; TIMEOUT .\n')
        before = weight()
        for _ in range(5):
            use_and_end(nameserver, archive.client)

        wait_until(lambda: weight() <= before, "them to end")


def use_and_end(nameserver: Nameserver, archive: ArchiveClient) -> None:
    """Have a resolver start all the threads that it has, and end it during an outage."""
    settings = {"nameservers": [nameserver.address], "timeout": "300ms", "min_ttl": "0s"}
    options = DnsOptions.model_validate(settings)
    resolver = Resolver(
        options, nameservers_of(options), lambda _: None, archive, keeps_sockets=True
    )
    assert resolver.for_message().look_up("hot.example", TXT) == Answer((b"hot",))
    refresh(resolver, ("hot.example", TXT))
    wait_until(lambda: finds_dns_down(resolver), "the probes")
    resolver.end()
