"""The file of a relay: one owner, nothing half written, and a broken one is no end."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import event, text

from alignd.config.settings import Keep
from alignd.ledger.answer import OTHER
from alignd.ledger.batch import DAY, Batch
from alignd.ledger.database import LedgerError
from alignd.ledger.fleet import outbox
from alignd.ledger.fleet.outbox import Waiting
from alignd.ledger.migration import SchemaError
from alignd.ledger.place import LedgerPlace
from alignd.ledger.spool import Spool, SpoolError
from alignd.ledger.thinning import thin_out
from alignd.ledger.writer import Writer
from tests.support.batches import NOON, RELAY, batch_of, merged

SERVER = "postgresql://nobody@ledger.example/alignd"
"""Nothing connects to it: what is sent there waits in the file."""
TODAY = int(NOON) // DAY * DAY
MAIL = batch_of("mycompany.com", messages=3)


class Owner:
    """Opens the file of a relay; what it has opened before is closed first."""

    def __init__(self, file: Path, reports: list[str]) -> None:
        self._file = file
        self._reports = reports
        self._open = ExitStack()

    def __call__(self, url: str = "", writer: Writer = RELAY) -> Spool:
        self.close()
        spool = Spool(LedgerPlace(self._file, url), writer, lambda: NOON, self._reports.append)
        self._open.callback(spool.close)
        return spool

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def opened(file: Path, reports: list[str]) -> Iterator[Owner]:
    owner = Owner(file, reports)
    yield owner
    owner.close()


def _query(file: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(question).fetchall()


def _messages(file: Path) -> int:
    ((messages,),) = _query(file, "SELECT coalesce(sum(messages), 0) FROM hours")
    return int(str(messages))


def _spool_id(spool: Spool) -> str:
    with spool.engine.connect() as connection:
        return outbox.spool_id(connection)


def test_what_was_written_is_there_for_the_next_owner(opened: Owner, file: Path) -> None:
    opened().write(MAIL, {"ring.0": 3, "ring.1": 0}, {"mycompany.com": TODAY})
    spool = opened()
    assert spool.numbers() == {"ring.0": 3, "ring.1": 0}
    assert spool.admitted() == {"mycompany.com": TODAY}
    assert _messages(file) == 3


def test_the_rings_of_a_service_that_is_gone_are_forgotten(opened: Owner) -> None:
    spool = opened()
    spool.write(MAIL, {"old.0": 3}, {})
    spool.write(MAIL, {"new.0": 3}, {})
    assert spool.numbers() == {"new.0": 3}


def test_a_write_that_fails_leaves_neither_counts_nor_numbers_nor_events(
    opened: Owner, file: Path
) -> None:
    spool = opened()
    spool.write(MAIL, {"ring.0": 3}, {"mycompany.com": TODAY})
    with closing(sqlite3.connect(file)) as database:
        database.execute("ALTER TABLE states RENAME TO hidden")
    other = batch_of("mycompany.com", tenant="another")
    with pytest.raises(LedgerError, match="states"):
        spool.write(other, {"ring.0": 4}, {"good.example": TODAY})
    with closing(sqlite3.connect(file)) as database:
        database.execute("ALTER TABLE hidden RENAME TO states")
    assert (_messages(file), spool.numbers()) == (3, {"ring.0": 3})
    assert spool.admitted() == {"mycompany.com": TODAY}
    assert spool.events == []

    spool.write(other, {"ring.0": 4}, {"good.example": TODAY})
    assert (_messages(file), spool.numbers()) == (4, {"ring.0": 4})
    assert spool.events == ["another-tenant"]


def _allow_few_pages(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA max_page_count = 50")


def test_a_disk_that_is_full_is_told_and_later_all_is_written(opened: Owner, file: Path) -> None:
    spool = opened()
    spool.write(MAIL, {"ring.0": 3}, {})
    many = merged(batch_of(f"d{number}.example") for number in range(3000))
    event.listen(spool.engine, "connect", _allow_few_pages)
    with pytest.raises(LedgerError, match="full"):
        spool.write(many, {"ring.0": 3003}, {})
    event.remove(spool.engine, "connect", _allow_few_pages)
    assert (_messages(file), spool.numbers()) == (3, {"ring.0": 3})
    spool.write(many, {"ring.0": 3003}, {})
    assert (_messages(file), spool.numbers()) == (3003, {"ring.0": 3003})


def test_a_second_owner_is_refused_until_the_first_has_gone(opened: Owner, file: Path) -> None:
    opened()
    second = Owner(file, [])
    with pytest.raises(SpoolError, match=rf"^{file}: another process has this ledger$"):
        second()
    opened.close()
    second()
    second.close()


def test_others_can_read_neither_the_file_nor_what_is_beside_it(opened: Owner, file: Path) -> None:
    spool = opened()
    with spool.engine.begin() as connection:
        connection.execute(text("DELETE FROM sources"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    names = [file.name + suffix for suffix in ("", "-shm", "-wal", ".lock")]
    assert modes == dict.fromkeys(names, 0o600)


def test_a_directory_that_is_missing_is_named(file: Path) -> None:
    place = LedgerPlace(file.parent / "missing" / file.name)
    with pytest.raises(SpoolError, match=r"/missing: no such directory"):
        Spool(place, RELAY, lambda: NOON, print)


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2 + 100)


def _scribble(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xa5" * (file.stat().st_size - 4096))


def _overwrite(file: Path) -> None:
    file.write_text("These are no tables.\n" * 1000)


def _scribble_in_counts(file: Path) -> None:
    ((page,),) = _query(file, "SELECT rootpage FROM sqlite_master WHERE name = 'hours'")
    with file.open("r+b") as stream:
        stream.seek((int(str(page)) - 1) * 4096)
        stream.write(b"\xa5" * 4096)


BROKEN = [
    pytest.param(_cut, id="it is cut"),
    pytest.param(_scribble, id="its pages are nonsense"),
    pytest.param(_overwrite, id="it is a text"),
]


@pytest.mark.parametrize("break_it", BROKEN)
def test_a_broken_file_is_put_aside_whole_and_a_new_one_made_when(
    opened: Owner, file: Path, reports: list[str], break_it: Callable[[Path], None]
) -> None:
    opened().write(MAIL, {"ring.0": 3}, {})
    break_it(file)
    broken = file.read_bytes()
    spool = opened()
    aside = file.with_name("ledger.sqlite.broken")
    assert aside.read_bytes() == broken
    assert len(reports) == 1
    assert f"was put aside as {aside}" in reports[0]
    spool.write(MAIL, {"ring.0": 6}, {})
    assert (_messages(file), spool.numbers()) == (3, {"ring.0": 6})


@pytest.mark.parametrize(
    "break_it",
    [*BROKEN, pytest.param(_scribble_in_counts, id="a page is nonsense that opening needs not")],
)
def test_a_file_that_breaks_while_it_is_used_is_another_one_when_it_is_opened_again_when(
    opened: Owner, file: Path, reports: list[str], break_it: Callable[[Path], None]
) -> None:
    spool = opened()
    spool.write(MAIL, {"ring.0": 3}, {})
    break_it(file)
    with pytest.raises(LedgerError):
        spool.write(MAIL, {"ring.0": 6}, {})
    spool = opened()
    spool.write(MAIL, {"ring.0": 6}, {})
    assert _messages(file) == 3
    assert len(reports) == 1


def test_a_file_that_is_deleted_while_it_is_used_is_made_anew(opened: Owner, file: Path) -> None:
    spool = opened()
    spool.write(MAIL, {"ring.0": 3}, {})
    for path in file.parent.glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(LedgerError):
        spool.write(MAIL, {"ring.0": 6}, {})
    opened().write(MAIL, {"ring.0": 6}, {})
    assert _messages(file) == 3


def test_what_is_left_beside_a_file_that_is_gone_is_not_taken_for_part_of_the_next(
    opened: Owner, file: Path
) -> None:
    spool = opened()
    spool.write(MAIL, {"ring.0": 3}, {})
    log = file.with_name("ledger.sqlite-wal")
    with spool.engine.connect() as connection:
        connection.execute(text("UPDATE sources SET number = 9"))
        connection.commit()
        left = log.read_bytes()
    opened.close()
    file.unlink()
    log.write_bytes(left)
    spool = opened()
    assert spool.numbers() == {}
    spool.write(MAIL, {"ring.0": 3}, {})
    assert _query(file, "PRAGMA integrity_check") == [("ok",)]


def test_the_database_of_another_program_is_left_as_it_is(opened: Owner, file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE states (name TEXT)")
    before = file.read_bytes()
    with pytest.raises(SpoolError, match=r"something else: name another file in ledger\.url"):
        opened()
    assert file.read_bytes() == before


def test_the_file_of_a_later_alignd_is_left_as_it_is(opened: Owner, file: Path) -> None:
    opened().write(MAIL, {}, {})
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="9999"):
        opened()
    assert _messages(file) == 3


def test_a_process_that_was_killed_while_it_wrote_leaves_a_file_that_can_be_used(
    opened: Owner, file: Path
) -> None:
    opened().write(MAIL, {"ring.0": 3}, {})
    halfway = (
        "import os, sys, sqlite3; database = sqlite3.connect(sys.argv[1]);"
        "database.execute('PRAGMA cache_size = 1'); database.execute('BEGIN IMMEDIATE');"
        "database.execute('DELETE FROM sources'); database.execute('UPDATE hours SET messages=9');"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", halfway, file], check=False)
    assert done.returncode == -9
    spool = opened()
    assert (_messages(file), spool.numbers()) == (3, {"ring.0": 3})


def test_where_relays_share_a_database_counts_wait_in_the_outbox(
    opened: Owner, file: Path
) -> None:
    spool = opened(SERVER)
    spool.write(MAIL, {"ring.0": 3}, {"mycompany.com": TODAY})
    spool.note_alive()
    assert spool.waiting() == Waiting(3, NOON)
    assert (_messages(file), spool.numbers()) == (0, {"ring.0": 3})
    assert _query(file, "SELECT relay FROM relays") == []


def test_what_waits_for_a_database_that_is_configured_no_more_is_counted_in_the_file(
    opened: Owner, file: Path, reports: list[str]
) -> None:
    spool = opened(SERVER)
    for number in (1, 2):
        with spool.engine.begin() as connection:
            outbox.begin_sending(connection)  # so that what comes is another batch
        spool.write(MAIL, {"ring.0": 3 * number}, {})
    spool = opened()
    assert (_messages(file), spool.waiting()) == (6, Waiting(0, 0.0))
    assert "6 messages" in reports[0]
    opened()
    assert (_messages(file), len(reports)) == (6, 1)


def test_a_file_keeps_its_name_and_a_copy_on_another_relay_has_another(opened: Owner) -> None:
    name = _spool_id(opened(SERVER))
    assert _spool_id(opened(SERVER)) == name
    clone = _spool_id(opened(SERVER, Writer("smtp1.example", "outbound")))
    assert clone != name
    assert _spool_id(opened(SERVER, Writer("smtp1.example", "outbound"))) == clone


def test_domains_that_sent_are_remembered_by_the_last_day(opened: Owner, file: Path) -> None:
    spool = opened()
    days = {"mycompany.com": TODAY, "good.example": TODAY}
    spool.write(MAIL, {}, days)
    spool.write(batch_of("mycompany.com", at=NOON + 2 * DAY), {}, {})
    spool.write(batch_of("mycompany.com", at=NOON + DAY), {}, {})  # one that comes late
    question = "SELECT domain, day, seen FROM admitted ORDER BY domain"
    assert _query(file, question) == [
        ("good.example", TODAY, TODAY),
        ("mycompany.com", TODAY, TODAY + 2 * DAY),
    ]
    later = NOON + 31 * DAY
    thin_out(spool.engine, Keep(), later)
    assert _query(file, question) == [("mycompany.com", TODAY, TODAY + 2 * DAY)]
    spool.write(batch_of("good.example", at=later), {}, {})
    assert spool.admitted()["good.example"] == TODAY + 31 * DAY


def test_what_has_no_rows_of_its_own_takes_no_room_of_those_that_have(opened: Owner) -> None:
    spool = opened()
    spool.write(Batch({**batch_of(OTHER).counts, **batch_of("").counts}), {}, {})
    assert spool.admitted() == {}


def test_somebody_who_holds_the_file_for_a_moment_is_waited_for(opened: Owner, file: Path) -> None:
    spool = opened()
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    writer = threading.Thread(target=spool.write, args=(MAIL, {"ring.0": 3}, {}))
    writer.start()
    with closing(holder):
        assert _messages(file) == 0
        holder.execute("COMMIT")
    writer.join()
    assert _messages(file) == 3


def test_a_machine_that_loses_power_keeps_what_was_written(opened: Owner) -> None:
    with opened().engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
