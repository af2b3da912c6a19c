"""What the two engines have in common: counts add up, and problems are told in a line."""

import os
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from alignd.ledger.database import LedgerError, add_up, create_file, open_database, problem_of
from alignd.ledger.tables import HOURS, METADATA


def _rows(domains: range) -> list[dict[str, object]]:
    words = {"leg": "outbound", "tenant": "", "action": "pass", "reason": "aligned"}
    return [{"hour": 0, "domain": f"d{n}", "messages": 1, **words} for n in domains]


def test_what_writers_add_in_any_order_at_once_is_all_there(ledger_url: str) -> None:
    engine = open_database(ledger_url)
    METADATA.create_all(engine)

    def write(domains: range) -> None:
        for _ in range(5):
            with engine.begin() as connection:
                add_up(connection, HOURS, _rows(domains), "messages")

    writers = [
        threading.Thread(target=write, args=(domains,))
        for domains in (range(50), range(49, -1, -1), range(0, 50, 7))
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    with engine.connect() as connection:
        found = {row.domain: row.messages for row in connection.execute(select(HOURS))}
    assert found == {f"d{n}": 15 if n % 7 == 0 else 10 for n in range(50)}


def test_a_problem_is_a_line_without_the_statement(ledger_url: str) -> None:
    engine = open_database(ledger_url)
    with pytest.raises(LedgerError) as raised, engine.begin() as connection:
        add_up(connection, HOURS, _rows(range(1)), "messages")
    problem = problem_of(raised.value)
    assert "hours" in problem
    assert "\n" not in problem
    assert "INSERT" not in problem


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file away")
def test_a_file_that_root_makes_is_the_service_s(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    create_file(tmp_path / "ledger.sqlite")
    made = (tmp_path / "ledger.sqlite").stat()
    assert (made.st_uid, made.st_mode & 0o777) == (1234, 0o600)


def test_without_its_library_postgresql_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed
    with pytest.raises(LedgerError, match=r"pip install 'alignd\[postgresql\]'"):
        open_database("postgresql://alignd@db.example/alignd")
