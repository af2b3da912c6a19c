"""Counts on their way to the database that relays share: none twice, none lost, whatever befalls.

The server is a real one, which is ended, killed, filled, locked, and cut off.
"""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text, update

from alignd.config.settings import Keep
from alignd.ledger.answer import Finding
from alignd.ledger.batch import Batch, CountKey, DomainKey, Seen
from alignd.ledger.database import LedgerError, open_database, problem_of
from alignd.ledger.fleet import shipper as shipper_module
from alignd.ledger.fleet.shipper import Shipper
from alignd.ledger.migration import migrate
from alignd.ledger.place import LedgerPlace
from alignd.ledger.spool import Spool
from alignd.ledger.tables import OUTBOX
from alignd.ledger.writer import Writer
from tests.lab.cutting_wire import Cut, run_cutting_wire
from tests.lab.postgresql import USER, PostgreSql, run_postgresql
from tests.lab.readiness import open_directory, wait_until
from tests.lab.small_disk import run_small_disk

NOON = 1_700_000_000 // 86_400 * 86_400 + 43_200
REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")
ENOUGH = "SELECT coalesce(sum(messages), 0) FROM {}"
COUNTS = ("hours", "days", "relay_hours")


def _batch(*domains: str, messages: int = 1) -> Batch:
    counts = {CountKey(NOON, "", each, "rewrite", REWRITTEN.reason): messages for each in domains}
    seen = {DomainKey("", each): Seen(REWRITTEN, NOON, NOON + 1.0) for each in domains}
    return Batch(counts, seen)


def _ignore(_said: str) -> None:
    pass


@dataclass
class Relay:
    """The file of a relay, and what sends from it."""

    name: str
    directory: Path
    url: str
    patience: float = 5.0
    now: float = NOON
    written: int = 0

    def __post_init__(self) -> None:
        self.place = LedgerPlace(self.directory / f"{self.name}.sqlite", self.url)
        self.writer = Writer(self.name, "outbound")
        self.spool = self.open()
        self.shipper = self.shipper_to(self.url)

    def open(self) -> Spool:
        return Spool(self.place, self.writer, self._now, _ignore)

    def open_again(self) -> None:
        self.spool.close()
        self.spool = self.open()
        self.shipper = self.shipper_to(self.url)

    def shipper_to(self, url: str) -> Shipper:
        shared = open_database(url, patience=self.patience)
        return Shipper(self.spool.engine, shared, self.writer, Keep(), self._now, _ignore)

    def write(self, *domains: str, messages: int = 1) -> None:
        self.spool.write(_batch(*domains, messages=messages), {}, {})
        self.written += messages * len(domains)

    def send_all(self) -> None:
        while self.shipper.ship_next():
            pass

    def waiting(self) -> int:
        return self.spool.waiting().messages

    @contextmanager
    def sending(self) -> Iterator[Shipper]:
        """Have the thread of the service send until the end of the block."""
        ended = threading.Event()
        thread = threading.Thread(target=self.shipper.run, args=(ended,))
        thread.start()
        try:
            yield self.shipper
        finally:
            ended.set()
            thread.join(60.0)
            assert not thread.is_alive()

    def _now(self) -> float:
        return self.now


@dataclass
class Shared:
    """A database that relays share."""

    server: PostgreSql
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def sums(self) -> set[str]:
        """The messages in each of the tables that count them: one number, if they agree."""
        return {self.server.sql(ENOUGH.format(table), self.name) for table in COUNTS}

    def await_sum(self, messages: int) -> None:
        def has_come() -> bool:
            with suppress(RuntimeError):  # no tables yet
                return self.sums() == {str(messages)}
            return False

        wait_until(has_come, f"{messages} messages")


@pytest.fixture
def shared(postgresql: PostgreSql) -> Shared:
    """A database with tables."""
    found = Shared(postgresql, postgresql.new_database())
    migrate(open_database(found.url))
    return found


@pytest.fixture
def relay(shared: Shared, tmp_path: Path) -> Iterator[Relay]:
    relay = Relay("relay", tmp_path, shared.url)
    yield relay
    relay.spool.close()


def _refused(relay: Relay) -> str:
    with pytest.raises(LedgerError) as raised:
        relay.shipper.ship_next()
    return problem_of(raised.value)


@pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.value)
def test_a_batch_whose_fate_is_unknown_is_counted_once(
    relay: Relay, shared: Shared, cut: Cut
) -> None:
    with run_cutting_wire(shared.server.port) as wire:
        relay.url = shared.url.replace(str(shared.server.port), str(wire.port))
        relay.shipper = relay.shipper_to(relay.url)
        for number in range(3):
            relay.write("a.example", f"d{number}.example", messages=5)
            wire.cut_next(cut)
            _refused(relay)
            assert relay.waiting() == 10
            relay.write("a.example")  # comes meanwhile, and must not be taken for the same
            relay.send_all()
            assert relay.waiting() == 0
        assert wire.cuts == 3
    assert shared.sums() == {str(relay.written)}


def test_a_server_that_is_killed_within_a_batch_has_nothing_of_it(
    relay: Relay, shared: Shared
) -> None:
    relay.write("a.example", messages=2)
    relay.send_all()
    relay.write("a.example", messages=5)
    problems: list[str] = []

    def send() -> None:
        problems.append(_refused(relay))

    relay.shipper = relay.shipper_to(shared.url)
    thread = threading.Thread(target=send)
    # The number of the batch is written by then, and none of its counts.
    with _locked(shared, "hours"):
        thread.start()
        _await_one_that_waits(shared)
        shared.server.kill()
        thread.join(30.0)
    shared.server.start()
    assert len(problems) == 1
    assert shared.sums() == {"2"}
    relay.send_all()
    assert shared.sums() == {"7"}


def test_a_table_that_is_locked_keeps_counts_waiting_for_a_moment(
    shared: Shared, tmp_path: Path
) -> None:
    relay = Relay("relay", tmp_path, shared.url, patience=0.2)
    relay.write("a.example")
    with _locked(shared, "states"):
        assert "timeout" in _refused(relay)
    assert shared.sums() == {"0"}
    relay.send_all()
    assert shared.sums() == {"1"}
    relay.spool.close()


def test_what_waits_for_a_server_that_is_down_comes_when_it_is_up(
    postgresql: PostgreSql, tmp_path: Path
) -> None:
    shared = Shared(postgresql, postgresql.new_database())  # without tables
    relay = Relay("relay", tmp_path, shared.url)
    postgresql.stop()
    relay.write("a.example", messages=3)
    with relay.sending() as shipper:
        wait_until(lambda: "refused" in shipper.problem, "the shipper to see it")
        relay.write("a.example", "b.example")
        postgresql.start()
        shared.await_sum(5)
        wait_until(lambda: not shipper.problem, "the shipper to be content")
        postgresql.stop()
        relay.write("b.example")
        wait_until(lambda: shipper.problem, "the shipper to see it again")
        postgresql.start()
        shared.await_sum(6)
    assert relay.waiting() == 0
    relay.spool.close()


def test_a_server_that_hangs_is_told_of_and_gets_all_when_it_goes_on(
    relay: Relay, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "_STALL_SECONDS", 0.3)
    with relay.sending() as shipper:
        relay.write("a.example")
        shared.await_sum(1)
        shared.server.freeze()
        try:
            relay.write("a.example")  # the file does not wait
            wait_until(lambda: shipper.problem, "the shipper to see it")
        finally:
            shared.server.thaw()
        shared.await_sum(2)
        wait_until(lambda: not shipper.problem, "the shipper to be content")


def test_a_newer_schema_is_left_alone_until_this_alignd_knows_it(
    relay: Relay, shared: Shared
) -> None:
    version = shared.server.sql("SELECT version_num FROM alembic_version", shared.name)
    shared.server.sql("UPDATE alembic_version SET version_num = '9999'", shared.name)
    relay.write("a.example")
    with relay.sending() as shipper:
        wait_until(lambda: "upgrade alignd" in shipper.problem, "the shipper to refuse it")
        assert "9999" in shipper.problem
        assert version in shipper.problem
        assert shared.sums() == {"0"}
        shared.server.sql(f"UPDATE alembic_version SET version_num = '{version}'", shared.name)
        shared.await_sum(1)


def test_an_empty_database_in_the_place_of_the_one_before_gets_tables(
    relay: Relay, shared: Shared
) -> None:
    with relay.sending():
        relay.write("a.example")
        shared.await_sum(1)
        shared.server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", shared.name)
        relay.write("a.example", messages=2)
        shared.await_sum(2)


def test_a_wrong_password_is_told_without_it_and_the_right_one_is_enough(
    shared: Shared, tmp_path: Path
) -> None:
    server = shared.server
    server.sql("CREATE ROLE writer LOGIN PASSWORD 'the-right-one'")
    server.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO writer", shared.name)
    address = f"127.0.0.1:{server.port}/{shared.name}"
    with _asks_for_a_password(server, "writer"):
        relay = Relay("relay", tmp_path, f"postgresql://writer:the-wrong-one@{address}")
        relay.write("a.example")
        problem = _refused(relay)
        assert "password authentication failed" in problem
        assert "the-wrong-one" not in problem
        relay.shipper = relay.shipper_to(f"postgresql://writer:the-right-one@{address}")
        relay.send_all()
    assert shared.sums() == {"1"}
    relay.spool.close()


def test_a_disk_that_is_full_keeps_counts_waiting_until_there_is_room(tmp_path: Path) -> None:
    with open_directory() as directory:
        place = directory / "disk"
        place.mkdir()
        with (
            run_small_disk(place, 24, USER) as disk,
            run_postgresql(directory, under=disk.under) as server,
        ):
            server.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
            server.sql("CREATE DATABASE shared TABLESPACE small")
            shared = Shared(server, "shared")
            migrate(open_database(shared.url))
            relay = Relay("relay", tmp_path, shared.url)
            relay.write(*(f"d{number}.example" for number in range(1000)))
            disk.fill()
            assert "No space left on device" in _refused(relay)
            assert shared.sums() == {"0"}
            disk.free()
            relay.send_all()
            assert shared.sums() == {"1000"}
            relay.spool.close()


def test_a_file_that_is_put_back_as_it_was_loses_nothing_that_comes_afterwards(
    relay: Relay, shared: Shared, tmp_path: Path
) -> None:
    relay.write("a.example", messages=7)  # is in the copy, and sent
    with closing(sqlite3.connect(relay.place.file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = shutil.copy(relay.place.file, tmp_path / "copy.sqlite")
    relay.send_all()
    for _ in range(5):
        relay.write("a.example")
        relay.send_all()
    assert shared.sums() == {"12"}

    relay.spool.close()
    for each in tmp_path.glob("relay.sqlite-*"):
        each.unlink()
    shutil.copy(copy, relay.place.file)
    relay.spool = relay.open()
    relay.shipper = relay.shipper_to(shared.url)
    for _ in range(3):
        relay.write("a.example", messages=100)
        relay.send_all()
    assert shared.sums() == {"312"}


def test_a_batch_that_cannot_be_read_is_told_of_and_the_next_is_sent(
    relay: Relay, shared: Shared
) -> None:
    relay.write("a.example", messages=4)
    with relay.spool.engine.begin() as connection:
        connection.execute(update(OUTBOX).values(body="[]"))
    relay.write("b.example")
    relay.send_all()
    assert [each.messages for each in relay.shipper.unreadable] == [4]
    assert shared.sums() == {"1"}


def test_relays_that_send_at_once_are_all_counted(shared: Shared, tmp_path: Path) -> None:
    relays = [Relay(f"relay{number}", tmp_path, shared.url) for number in range(3)]
    domains = [f"d{number}.example" for number in range(60)]
    for place, relay in enumerate(relays):
        for turn in range(3):
            relay.write(*(domains if (place + turn) % 2 else reversed(domains)))
            relay.open_again()  # so that they are batches of their own
    threads = [threading.Thread(target=relay.send_all) for relay in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert shared.sums() == {str(3 * 3 * 60)}
    for relay in relays:
        assert relay.waiting() == 0
        relay.spool.close()


def test_a_relay_without_mail_says_each_minute_that_it_is_alive_though_its_clock_is_set_back(
    relay: Relay, shared: Shared
) -> None:
    def last_seen() -> float:
        return float(shared.server.sql("SELECT max(last_seen) FROM relays", shared.name) or 0)

    with relay.sending():
        wait_until(lambda: last_seen() == NOON, "the first word")
        relay.now = NOON + 60
        wait_until(lambda: last_seen() == NOON + 60, "the word of the next minute")
        relay.now = NOON - 7200
        wait_until(lambda: last_seen() == NOON - 7200, "the word after the clock was set back")


def test_a_connection_does_not_wait_for_a_server_that_is_gone_from_the_network(
    shared: Shared,
) -> None:
    with open_database(shared.url).connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        parameters = raw.info.get_parameters()  # what libpq was told
    assert parameters["tcp_user_timeout"] == "25000"
    assert parameters["keepalives_idle"] == "10"


@contextmanager
def _locked(shared: Shared, table: str) -> Iterator[None]:
    """Have somebody else hold a lock on a table; who may lose it with the server."""
    connection = open_database(shared.url).connect()
    connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
    try:
        yield
    finally:
        with suppress(LedgerError):
            connection.rollback()
        connection.invalidate()
        connection.close()


def _await_one_that_waits(shared: Shared) -> None:
    question = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    wait_until(lambda: shared.server.sql(question) != "0", "the batch to wait for the lock")


@contextmanager
def _asks_for_a_password(server: PostgreSql, user: str) -> Iterator[None]:
    path = server.directory / "data" / "pg_hba.conf"
    before = path.read_text()
    path.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{before}")
    server.sql("SELECT pg_reload_conf()")
    rules = "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'"
    assert server.sql(rules) == "1"
    try:
        yield
    finally:
        path.write_text(before)
        server.sql("SELECT pg_reload_conf()")
