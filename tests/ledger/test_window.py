"""A ledger is read by those who do not own it: at PostgreSQL, or over its owner's socket."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, insert, text
from sqlalchemy.exc import DBAPIError

from alignd.config.settings import LedgerOptions
from alignd.digest.facts import gather
from alignd.digest.summary import Numbers, summarise
from alignd.digest.week import Week
from alignd.ledger.batch import DAY, HOUR
from alignd.ledger.database import open_database
from alignd.ledger.migration import migrate, newest_version
from alignd.ledger.queries.events import events_between
from alignd.ledger.queries.history import history
from alignd.ledger.queries.opening import OpenLedger, open_ledger
from alignd.ledger.queries.overview import DomainRow, Order, Selection, other_messages, overview
from alignd.ledger.queries.relays import relays
from alignd.ledger.queries.traffic import traffic
from alignd.ledger.receivers.read import receivers
from alignd.ledger.tables import DAYS, HOURS, STATES
from alignd.ledger.window import questions, spans
from alignd.ledger.window.client import SocketAsks
from alignd.ledger.window.database import DatabaseAsks
from alignd.ledger.window.opening import reader_of
from alignd.ledger.window.protocol import (
    MAX_LINE,
    MAX_QUESTION,
    Obstacle,
    WindowError,
    encode_question,
)
from alignd.ledger.window.questions import RelaysQuestion
from alignd.ledger.window.reader import LedgerReader
from alignd.ledger.window.server import ANSWERED, UNFINISHED, Limits, WindowServer
from alignd.service.unix_listener import listen_at
from alignd.telemetry.words import WindowResult
from tests.lab.ledger_rows import NOW, REWRITTEN, Mail, new_ledger, write
from tests.lab.postgresql import PostgreSql
from tests.lab.readiness import open_directory, wait_until
from tests.support.hostile_questions import HOSTILE
from tests.support.receivers import fill

DOMAINS = 10_000
PATIENT = Limits(question_seconds=30.0, answer_seconds=30.0)
HASTY = Limits(question_seconds=0.2, answer_seconds=0.2)
QUESTION = encode_question("relays", RelaysQuestion(NOW).fields)


class Window:
    """A ledger's process, as far as the window is concerned."""

    def __init__(self, url: str, path: Path, limits: Limits) -> None:
        self.path = path
        self.results: Counter[str] = Counter()
        self.failures: list[Exception] = []
        self.server = WindowServer(
            url, lambda: listen_at(str(path), 0o660), self._count, self.failures.append, limits
        )
        self.reader = LedgerReader(SocketAsks(str(path)))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self.server.run, args=(self._ended,))
        self._lock = threading.Lock()

    def start(self) -> None:
        self._thread.start()
        wait_until(self.path.exists, "the window")

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(30.0)
        peer.connect(str(self.path))
        return peer

    def send(self, octets: bytes) -> bytes:
        """What comes back of *octets*, until the connection is closed."""
        with closing(self.connect()) as peer:
            with suppress(OSError):  # it was closed before it had all
                peer.sendall(octets)
                peer.shutdown(socket.SHUT_WR)
            return read_all(peer)

    def await_result(self, result: str, times: int = 1) -> None:
        wait_until(lambda: self.results[result] >= times, f"{times} {result}")

    def _count(self, result: str) -> None:
        with self._lock:
            self.results[result] += 1


def read_all(peer: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionResetError):  # what it was sent was not read to the end
        while some := peer.recv(65_536):
            found += some
    return found


@contextmanager
def run_window(url: str, path: Path, limits: Limits = PATIENT) -> Iterator[Window]:
    window = Window(url, path, limits)
    window.start()
    try:
        yield window
    finally:
        window.end()
    assert window.failures == []


def sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'ledger.sqlite'}"


def postgresql_url(request: pytest.FixtureRequest) -> str:
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.url(server.new_database())


@pytest.fixture(autouse=True)
def quick_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alignd.ledger.window.server._ROUND_SECONDS", 0.02)


@pytest.fixture(scope="module")
def shared_window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    directory = tmp_path_factory.mktemp("story")
    new_ledger(sqlite_url(directory))
    with run_window(sqlite_url(directory), directory / "window.sock") as window:
        yield window


@pytest.fixture
def window(shared_window: Window) -> Window:
    """A window on a file with the story in it, which nobody has used yet."""
    shared_window.results.clear()
    return shared_window


Reading = tuple[str, LedgerReader]


@pytest.fixture(params=["file", "postgresql", "socket"])
def reading(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reading]:
    """A database without tables, and who reads it, in every way that there is."""
    with ExitStack() as running:
        is_file = request.param != "postgresql"
        url = sqlite_url(tmp_path) if is_file else postgresql_url(request)
        if request.param == "socket":
            window = running.enter_context(run_window(url, tmp_path / "window.sock"))
            yield url, window.reader
        else:
            yield url, LedgerReader(DatabaseAsks(url))


def obstacle_of(ask: Callable[[], object]) -> Obstacle:
    with pytest.raises(WindowError) as caught:
        ask()
    assert str(caught.value)
    return caught.value.obstacle


def with_many_domains(engine: Engine) -> None:
    """Add domains that have sent each day, each with an hour of today."""
    key = [{"leg": "outbound", "tenant": f"t{n % 50}", "domain": f"d{n}.example"} for n in
           range(DOMAINS)]  # fmt: skip
    words = {"action": "rewrite", "reason": "relay-not-authorised"}
    days = [int(NOW) // DAY * DAY - DAY * ago for ago in (0, 5, 29)]
    with engine.begin() as connection:
        connection.execute(insert(STATES), [each | words | {"since": NOW} for each in key])
        for day in days:
            rows = [each | words | {"day": day, "messages": 7} for each in key]
            connection.execute(insert(DAYS), rows)
        hour = int(NOW) // HOUR * HOUR
        rows = [each | words | {"hour": hour, "messages": 3} for each in key]
        connection.execute(insert(HOURS), rows)


def test_a_reader_is_told_what_the_ledger_says(reading: Reading) -> None:
    url, reader = reading
    fill(new_ledger(url))
    some = Selection(actions=("rewrite", "pass"), pattern="*.example", since=1.0)
    with open_ledger(url) as connection:
        for selection in (Selection(), Selection(tenant="easy"), some, Selection("return")):
            for order in Order:
                expected = overview(connection, selection, NOW, order)
                assert reader.overview(selection, NOW, order) == expected
            others = other_messages(connection, selection, NOW)
            assert reader.other_messages(selection, NOW) == others
        for domain in ("mycompany.com", "good.example", "nobody.example"):
            expected_history = history(connection, "outbound", domain, NOW - 12 * DAY, NOW)
            assert reader.history("outbound", domain, NOW - 12 * DAY, NOW) == expected_history
        assert reader.relays(NOW + 3600) == relays(connection, NOW + 3600)
        assert reader.relays(NOW, "return") == []
        for tenant in (None, "", "easy", "nobody"):
            span = ("outbound", tenant, NOW - 7 * DAY, NOW)
            assert reader.events(*span) == events_between(connection, *span)
            assert reader.traffic(*span) == traffic(connection, *span, limit=100)
            for name in (None, "mycompany.com"):
                asked = (span[1], name, *span[2:])
                assert reader.receivers(*asked) == receivers(connection, "outbound", *asked)
    assert reader.overview(Selection(), NOW)
    assert reader.history("outbound", "good.example", 0, NOW).events
    assert reader.events("outbound", None, 0, NOW)
    assert reader.traffic("outbound", None, 0, NOW)
    said = reader.receivers(None, None, 0, NOW)
    assert all((said.replies, said.rows, said.reports, said.newest, said.days, said.changes))


def test_a_digest_is_made_of_what_a_reader_is_told(reading: Reading) -> None:
    url, reader = reading
    new_ledger(url)

    summary = summarise(gather(reader, Week.ended(NOW), None, NOW + 3600))

    assert summary.numbers == Numbers(473, 72, 2)
    assert summary.before == Numbers(7, 0, 1)
    assert [each.reason for each in summary.most_rewritten] == [REWRITTEN.reason]
    assert [each.relay for each in summary.silent_relays] == ["smtp1"]


def test_a_reader_is_told_what_was_written_since(reading: Reading) -> None:
    url, reader = reading
    engine = new_ledger(url)
    mine = Selection(pattern="mycompany.com")
    (before,) = reader.overview(mine, NOW)
    write(engine, [Mail("mycompany.com", REWRITTEN, 1000)])
    (after,) = reader.overview(mine, NOW)
    assert after.messages == before.messages + 1000


def test_10000_domains_are_read_whole(reading: Reading) -> None:
    url, reader = reading
    engine = open_database(url)
    migrate(engine)
    with_many_domains(engine)

    rows = reader.overview(Selection(), NOW)

    assert len({(row.tenant, row.domain) for row in rows}) == len(rows) == DOMAINS
    assert {(row.messages, row.last_day, row.rewritten) for row in rows} == {(21, 3, 21)}
    assert {(row.by_day[0], row.by_day[24], row.by_day[-1]) for row in rows} == {(7, 7, 7)}
    assert len(reader.overview(Selection(tenant="t7"), NOW)) == DOMAINS / 50
    assert {each.messages for each in reader.traffic("outbound", None, 0, NOW)} == {21}
    assert len(reader.traffic("outbound", None, 0, NOW)) == DOMAINS


def test_more_domains_than_there_is_room_for_are_not_read(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, reader = reading
    new_ledger(url)
    monkeypatch.setattr(questions, "MAX_ROWS", 3)
    monkeypatch.setattr(spans, "MAX_ROWS", 3)
    assert obstacle_of(lambda: reader.overview(Selection(), NOW)) is Obstacle.TOO_LARGE
    assert len(reader.overview(Selection(actions=("pass",)), NOW)) == 3
    assert obstacle_of(lambda: reader.traffic("outbound", None, 0, NOW)) is Obstacle.TOO_LARGE
    assert len(reader.traffic("outbound", "easy", 0, NOW)) == 1
    assert obstacle_of(lambda: reader.receivers(None, None, 0, NOW)) is Obstacle.TOO_LARGE
    assert len(reader.receivers("easy", None, 0, NOW).days) == 2


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda r: r.history("outbound", "x" * 65_536, 0, NOW), id="64-kilobytes"),
        pytest.param(lambda r: r.history("outbound", "*", 0, NOW), id="all-domains"),
        pytest.param(lambda r: r.history("outbound", "", 0, NOW), id="no-domain"),
        pytest.param(lambda r: r.history("outbound", "a\x00b", 0, NOW), id="a-nul"),
        pytest.param(lambda r: r.history("outbound", "\ud800", 0, NOW), id="half-a-surrogate"),
        pytest.param(lambda r: r.history("elsewhere", "a.example", 0, NOW), id="no-leg"),
        pytest.param(lambda r: r.relays(float("nan")), id="no-time"),
        pytest.param(lambda r: r.events("outbound", "\n", 0, NOW), id="events-of-no-tenant"),
        pytest.param(lambda r: r.events("outbound", None, 0, 1e12), id="events-of-no-time"),
        pytest.param(lambda r: r.traffic("sideways", None, 0, NOW), id="traffic-of-no-leg"),
        pytest.param(lambda r: r.receivers(None, "", 0, NOW), id="receivers-of-no-domain"),
        pytest.param(lambda r: r.receivers("\n", None, 0, NOW), id="receivers-of-no-tenant"),
        pytest.param(lambda r: r.receivers(None, None, -1, NOW), id="receivers-of-no-time"),
        pytest.param(lambda r: r.overview(Selection(since=-1), NOW), id="before-all-time"),
        pytest.param(lambda r: r.overview(Selection(tenant="\n"), NOW), id="no-tenant"),
        pytest.param(lambda r: r.overview(Selection(pattern="*" * 9), NOW), id="wildcards"),
        pytest.param(lambda r: r.other_messages(Selection(actions=("x",)), NOW), id="no-action"),
    ],
)
def test_what_cannot_be_in_a_ledger_is_not_asked_for(
    reading: Reading, ask: Callable[[LedgerReader], object]
) -> None:
    url, reader = reading
    new_ledger(url)
    assert obstacle_of(lambda: ask(reader)) is Obstacle.MALFORMED


def test_a_name_of_any_letters_is_asked_for(reading: Reading) -> None:
    url, reader = reading
    new_ledger(url)
    names = ("'; DROP TABLE states; --", "%", "_", "\\", "Łódź", "😀" * 255)
    for name in names:
        assert not reader.history("outbound", name, 0, NOW).is_known
        assert reader.overview(Selection(tenant=name), NOW) == []
    assert len(reader.overview(Selection(), NOW)) == 4


@pytest.mark.parametrize(
    ("version", "says"),
    [("9999", "upgrade alignd"), (None, "has no tables yet")],
    ids=["of-a-newer-alignd", "none"],
)
def test_another_schema_is_told_of(reading: Reading, version: str | None, says: str) -> None:
    url, reader = reading
    engine = open_database(url)
    with engine.begin() as connection:
        if version is not None:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            connection.execute(text(f"INSERT INTO alembic_version VALUES ('{version}')"))

    with pytest.raises(WindowError, match=says) as caught:
        reader.overview(Selection(), NOW)
    assert caught.value.obstacle is Obstacle.SCHEMA
    assert newest_version() in str(caught.value)


def test_a_file_that_is_not_there_is_told_of_and_not_made(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with run_window(url, tmp_path / "window.sock") as window:
        assert obstacle_of(lambda: window.reader.relays(NOW)) is Obstacle.DATABASE
        assert [each.name for each in tmp_path.iterdir()] == ["window.sock"]
        new_ledger(url)  # as its owner does when it can
        assert len(window.reader.relays(NOW)) == 1


def test_a_file_that_is_broken_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database " * 1000)
    with run_window(sqlite_url(tmp_path), tmp_path / "window.sock") as window:
        assert obstacle_of(lambda: window.reader.relays(NOW)) is Obstacle.DATABASE


def test_a_server_that_is_away_is_told_of(postgresql: PostgreSql) -> None:
    for url in (postgresql.url("no_such_database"), "postgresql://postgres@127.0.0.1:1/x"):
        ask = partial(LedgerReader(DatabaseAsks(url)).relays, NOW)
        assert obstacle_of(ask) is Obstacle.DATABASE


def test_a_role_that_may_only_read_reads_and_cannot_write(postgresql: PostgreSql) -> None:
    database = postgresql.new_database()
    postgresql.sql("DROP ROLE IF EXISTS alignd_window")
    postgresql.sql("CREATE ROLE alignd_window LOGIN")
    grant = "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO alignd_window"  # docs/fleet.md
    postgresql.sql(grant, database)
    new_ledger(postgresql.url(database))
    url = postgresql.url(database, "alignd_window")
    reader = reader_of(LedgerOptions(url=postgresql.url(database), window=url))
    assert reader is not None

    assert len(reader.overview(Selection(), NOW)) == 4
    assert len(reader.relays(NOW)) == 1
    assert reader.history("outbound", "mycompany.com", 0, NOW).is_known
    assert reader.other_messages(Selection(), NOW) == 52
    # Not even in a transaction that may write.
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    for table in ("states", "days", "hours", "events", "relays", "alembic_version"):
        for statement in (f"DELETE FROM {table}", f"DROP TABLE {table}"):
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                run(engine, statement)
    engine.dispose()
    postgresql.sql("DROP OWNED BY alignd_window", database)


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_a_role_that_may_not_even_read_is_told_so(postgresql: PostgreSql) -> None:
    database = postgresql.new_database()
    new_ledger(postgresql.url(database))
    postgresql.sql("DROP ROLE IF EXISTS nobody_here")
    postgresql.sql("CREATE ROLE nobody_here LOGIN")
    reader = LedgerReader(DatabaseAsks(postgresql.url(database, "nobody_here")))
    with pytest.raises(WindowError, match="permission denied") as caught:
        reader.relays(NOW)
    assert caught.value.obstacle is Obstacle.DATABASE


def test_who_has_no_window_reads_postgresql_itself_or_nothing() -> None:
    assert reader_of(LedgerOptions()) is None
    assert reader_of(LedgerOptions(url="sqlite:////x.sqlite")) is None
    assert reader_of(LedgerOptions(url="")) is None
    assert reader_of(LedgerOptions(url="postgresql://a@b/c")) is not None
    assert reader_of(LedgerOptions(window="unix:/run/x.sock")) is not None


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_nonsense_is_answered_and_the_next_question_too(window: Window, line: str) -> None:
    answer = window.send(line.encode("latin-1") + b"\n")
    assert answer.startswith(b'{"version":1,"obstacle":"malformed"')
    assert answer.count(b"\n") == 1
    assert len(answer) < 250
    assert window.send(QUESTION).endswith(b'{"version":1,"rows":1}\n')
    window.await_result("malformed")
    window.await_result(ANSWERED)
    assert window.results == {"malformed": 1, ANSWERED: 1}


STREAMS = {
    "nothing": (b"", UNFINISHED),
    "half-a-question": (QUESTION[:20], UNFINISHED),
    "a-question-without-its-end": (QUESTION[:-1], UNFINISHED),
    "two-questions": (QUESTION * 2, "malformed"),
    "a-line-without-end": (b"x" * (1 << 22), "malformed"),
    "a-question-that-is-too-long": (b'"' + b"x" * MAX_QUESTION + b'"\n', "malformed"),
    "another-version": (b'{"version":2,"ask":"relays"}\n', "version"),
    "nulls": (bytes(MAX_QUESTION), "malformed"),
}


@pytest.mark.parametrize(("octets", "result"), STREAMS.values(), ids=STREAMS)
def test_whatever_is_sent_ends(window: Window, octets: bytes, result: str) -> None:
    answer = window.send(octets)
    assert answer == b"" if result == UNFINISHED else result.encode() in answer
    window.await_result(result)
    assert window.results == {result: 1}


def test_who_asks_for_a_domain_does_not_wait_for_who_asks_for_all(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, goes_on = threading.Event(), threading.Event()

    def slow(ledger: OpenLedger, wanted: Selection, now: float, order: Order) -> list[DomainRow]:
        is_asked.set()
        assert goes_on.wait(30.0)
        return overview(ledger, wanted, now, order)

    monkeypatch.setattr(questions, "overview", slow)
    found: list[int] = []
    asking = threading.Thread(
        target=lambda: found.append(len(window.reader.overview(Selection(), NOW)))
    )
    asking.start()
    try:
        assert is_asked.wait(30.0)
        assert window.reader.history("outbound", "mycompany.com", 0, NOW).states
        assert window.reader.relays(NOW)
        assert found == []
    finally:
        goes_on.set()
        asking.join()
    assert found == [4]


def test_who_goes_away_is_forgotten(window: Window) -> None:
    for octets in (b"", QUESTION[:9], QUESTION):
        for _ in range(20):
            with closing(window.connect()) as peer:
                peer.send(octets)
    wait_until(lambda: sum(window.results.values()) == 60, "all to be forgotten")
    assert window.reader.relays(NOW)
    wait_until(lambda: sum(window.results.values()) == 61, "the last one")
    assert set(window.results) <= {UNFINISHED, ANSWERED, "busy"}


def test_who_is_silent_is_cut_off(tmp_path: Path) -> None:
    new_ledger(sqlite_url(tmp_path))
    with run_window(sqlite_url(tmp_path), tmp_path / "window.sock", HASTY) as window:
        for octets in (b"", QUESTION[:9]):
            with closing(window.connect()) as peer:
                peer.send(octets)
                assert read_all(peer) == b""
    assert window.results == {UNFINISHED: 2}


def test_who_does_not_take_an_answer_is_cut_off_and_holds_nobody_up(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path))
    migrate(engine)
    with_many_domains(engine)
    with run_window(sqlite_url(tmp_path), tmp_path / "window.sock", PATIENT) as window:
        everything = questions.OverviewQuestion(Selection(), NOW)
        with closing(window.connect()) as greedy:
            greedy.sendall(encode_question("overview", everything.fields))
            assert greedy.recv(1)  # the answer is on its way, and stays there
            write(engine, [Mail("mycompany.com", REWRITTEN, 5)])
            assert run_checkpoint(engine) == 0  # nobody has the file open
            assert window.reader.history("outbound", "mycompany.com", 0, NOW).is_known
        window.await_result(UNFINISHED)
    with (
        run_window(sqlite_url(tmp_path), tmp_path / "another.sock", HASTY) as window,
        closing(window.connect()) as greedy,
    ):
        greedy.sendall(encode_question("overview", everything.fields))
        window.await_result(UNFINISHED)


def run_checkpoint(engine: Engine) -> int:
    """Whether somebody keeps the log of the file from being put away."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.rollback()
        (is_busy, *_) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return int(is_busy)


def test_more_connections_than_there_may_be_are_told_so(tmp_path: Path) -> None:
    new_ledger(sqlite_url(tmp_path))
    limits = replace(PATIENT, connections=3)
    with (
        run_window(sqlite_url(tmp_path), tmp_path / "window.sock", limits) as window,
        ExitStack() as open_ones,
    ):
        for _ in range(3):
            open_ones.enter_context(closing(window.connect()))
        for _ in range(20):
            assert obstacle_of(lambda: window.reader.relays(NOW)) is Obstacle.BUSY
        open_ones.close()
        window.await_result(UNFINISHED, 3)
        assert window.reader.relays(NOW)
        window.await_result(ANSWERED)
    assert window.results == {"busy": 20, UNFINISHED: 3, ANSWERED: 1}


def test_a_question_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path))
    migrate(engine)
    with_many_domains(engine)
    limits = replace(PATIENT, work_seconds=0.0)
    with run_window(sqlite_url(tmp_path), tmp_path / "window.sock", limits) as window:
        assert obstacle_of(lambda: window.reader.overview(Selection(), NOW)) is Obstacle.SLOW


def test_who_has_used_up_the_share_of_all_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_ledger(sqlite_url(tmp_path))
    monkeypatch.setattr("alignd.ledger.window.server._SHARE", 1e-6)
    monkeypatch.setattr("alignd.ledger.window.server._SAVED_SECONDS", 1e-6)
    with run_window(sqlite_url(tmp_path), tmp_path / "window.sock") as window:
        assert window.reader.relays(NOW)
        assert obstacle_of(lambda: window.reader.relays(NOW)) is Obstacle.BUSY


def test_a_bug_is_told_of_and_the_next_question_is_answered(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    with monkeypatch.context() as broken:
        broken.setattr("alignd.ledger.window.questions.relays", fail)
        with pytest.raises(WindowError, match=r"^a bug$") as caught:
            window.reader.relays(NOW)
    assert caught.value.obstacle is Obstacle.FAILED
    assert window.reader.relays(NOW)
    window.await_result(ANSWERED)
    (failure,) = window.failures
    assert isinstance(failure, KeyError)
    window.failures.clear()


def test_many_readers_at_once_all_get_answers(window: Window) -> None:
    found: list[int] = []

    def read() -> None:
        found.extend(len(window.reader.overview(Selection(), NOW)) for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4] * 100
    window.await_result(ANSWERED, 100)
    assert window.results == {ANSWERED: 100}


def test_a_window_that_cannot_be_opened_says_why_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alignd.ledger.window.server._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("alignd.ledger.window.server._LONGEST_PAUSE", 0.05)
    new_ledger(sqlite_url(tmp_path))
    path = tmp_path / "run" / "window.sock"
    window = Window(sqlite_url(tmp_path), path, PATIENT)
    window._thread.start()
    try:
        wait_until(lambda: window.server.problem, "a problem")
        assert window.server.problem == "No such file or directory"
        path.parent.mkdir()
        wait_until(lambda: not window.server.problem, "the window")
        assert window.reader.relays(NOW)
    finally:
        window.end()


def test_a_socket_is_taken_over_from_the_dead_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "window.sock")
    listen_at(path, 0o660).close()
    with closing(listen_at(path, 0o660)):
        with pytest.raises(OSError, match="another process serves it"):
            listen_at(path, 0o660)
        assert os.stat(path).st_mode & 0o777 == 0o660
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        listen_at(str(file), 0o660)
    assert file.read_text() == "precious"


ROWS = b"[1]\n" * 10
ODD_SERVERS = {
    "closes": (b"", Obstacle.BROKEN),
    "is-another-program": (b"HTTP/1.1 400 Bad Request\r\n\r\n", Obstacle.BROKEN),
    "ends-in-a-row": (b"[1", Obstacle.BROKEN),
    "ends-between-rows": (ROWS, Obstacle.BROKEN),
    "sends-a-line-without-end": (b"x" * (2 * MAX_LINE), Obstacle.BROKEN),
    "sends-rows-of-something-else": (b'["a"]\n{"version":1,"rows":1}\n', Obstacle.BROKEN),
    "is-of-another-version": (b'{"version":3,"rows":0}\n', Obstacle.VERSION),
    "nests-without-end": (b"[" * 100_000 + b"\n", Obstacle.BROKEN),
    "refuses-before-it-was-asked": (
        b'{"version":1,"obstacle":"busy","problem":"later"}\n',
        Obstacle.BUSY,
    ),
}


@pytest.mark.parametrize(("answer", "obstacle"), ODD_SERVERS.values(), ids=ODD_SERVERS)
def test_a_reader_believes_no_odd_answer(
    tmp_path: Path, answer: bytes, obstacle: Obstacle
) -> None:
    path = str(tmp_path / "window.sock")
    with closing(listen_at(path, 0o660)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with closing(peer), suppress(OSError):  # it has heard enough
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        reader = LedgerReader(SocketAsks(path))
        assert obstacle_of(lambda: reader.relays(NOW)) is obstacle
        thread.join()


def test_a_reader_does_not_wait_for_ever(tmp_path: Path) -> None:
    path = str(tmp_path / "window.sock")
    with closing(listen_at(path, 0o660)):  # and nobody takes what comes
        reader = LedgerReader(SocketAsks(path, seconds=0.1))
        assert obstacle_of(lambda: reader.relays(NOW)) is Obstacle.SLOW


@pytest.mark.parametrize("name", ["none.sock", "x" * 200, "nul\x00"])
def test_a_socket_that_is_not_there_is_told_of(tmp_path: Path, name: str) -> None:
    reader = LedgerReader(SocketAsks(str(tmp_path / name)))
    assert obstacle_of(lambda: reader.relays(NOW)) is Obstacle.UNREACHABLE


ASK = """
import sys
from alignd.ledger.window.client import SocketAsks
from alignd.ledger.window.protocol import WindowError
from alignd.ledger.window.reader import LedgerReader
try:
    print(len(LedgerReader(SocketAsks(sys.argv[1])).relays(1.0)))
except WindowError as error:
    print(error.obstacle.value)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to be another user")
def test_the_group_of_the_directory_may_ask_and_nobody_else() -> None:
    with open_directory() as directory:
        directory.chmod(0o755)
        url, place = sqlite_url(directory), directory / "window"
        new_ledger(url)
        place.mkdir()
        shutil.chown(place, group="mail")
        place.chmod(0o2750)
        with run_window(url, place / "ledger.sock") as window:
            assert window.path.group() == "mail"
            said = {
                group: subprocess.run(
                    [
                        *("setpriv", "--reuid=nobody", "--regid=nogroup", f"--groups={group}"),
                        *(sys.executable, "-c", ASK, str(window.path)),
                    ],
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=60,
                ).stdout.strip()
                for group in ("mail", "nogroup")
            }
    assert said == {"mail": "1", "nogroup": "unreachable"}


def test_every_result_is_a_word_of_the_metrics() -> None:
    of_clients = {Obstacle.UNREACHABLE, Obstacle.BROKEN}
    of_servers = {each.value for each in Obstacle if each not in of_clients}
    assert {each.value for each in WindowResult} == of_servers | {ANSWERED, UNFINISHED}
