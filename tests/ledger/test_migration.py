"""The schema of a ledger: it comes to its newest version, and never goes back."""

import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from alignd.ledger.apply import apply_batch
from alignd.ledger.database import LedgerError, open_database
from alignd.ledger.migration import (
    VERSIONS,
    Migrated,
    SchemaError,
    migrate,
    newest_version,
    require_schema,
)
from alignd.ledger.tables import METADATA
from tests.lab.postgresql import PostgreSql
from tests.lab.readiness import wait_until
from tests.support.batches import NOON, RELAY, batch_of

_WORDS = "'outbound', '', 'mycompany.com', 'rewrite', 'relay-not-authorised'"
FIRST_DATA = (
    f"INSERT INTO hours VALUES (1782907200, {_WORDS}, 3)",
    f"INSERT INTO days VALUES (1782864000, {_WORDS}, 3)",
    "INSERT INTO relay_hours VALUES (1782907200, 'smtp1', 'outbound', 'rewrite', 3)",
    "INSERT INTO relays VALUES ('smtp1', 'outbound', 1.5, 2.5, '1.0', 'c0ffee', '1')",
    "INSERT INTO states (leg, tenant, domain, action, reason, since) "
    f"VALUES ({_WORDS}, 1782907200.25)",
    "INSERT INTO events (id, at, leg, tenant, domain, kind, was, now, relay) VALUES "
    "('e', 1782907200.25, 'outbound', '', 'mycompany.com', 'began', '', '{}', 'smtp1')",
    "INSERT INTO shipments VALUES ('smtp1.c0ffee', 7)",
    "INSERT INTO spool VALUES ('smtp1.c0ffee')",
    "INSERT INTO sources VALUES ('ring.0', 9)",
    "INSERT INTO outbox (number, since, rows, messages, body) VALUES (8, 1.5, 1, 1, '{}')",
    "INSERT INTO admitted VALUES ('mycompany.com', 1782864000, 1782864000)",
)
"""A row for each table of the first schema, which only its own words can write."""
SECOND_DATA = (
    *FIRST_DATA,
    "INSERT INTO deliveries VALUES ('e', 'webhook', 2, 3.5, 4.5, 'HTTP 500')",
)
THIRD_DATA = (
    *SECOND_DATA,
    "INSERT INTO replies VALUES (1782864000, '', 'mycompany.com', 'pass', 'spf-aligned', "
    "'google.com', 'lost', 'google-unauthenticated', 3)",
    "INSERT INTO reports VALUES ('r1', 'google.com', 'mycompany.com', 1782864000, 1782950399, 30, "
    "'treewalk', 1782960000.5)",
    "INSERT INTO report_rows VALUES (1782864000, 1782864000, 'google.com', 'left-alone', "
    "'mycompany.com', '192.0.2.1', 'pass', 'not-aligned', 'aligned', 'none', '0', 29)",
)
"""The same of the schemas that came later."""


def test_migrations_make_just_the_tables_that_the_code_uses(
    ledger_url: str, other_ledger_url: str
) -> None:
    migrated, declared = open_database(ledger_url), open_database(other_ledger_url)
    assert migrate(migrated) == Migrated("", newest_version())
    METADATA.create_all(declared)
    assert _shape(migrated) == _shape(declared)
    with migrated.connect() as connection:
        require_schema(connection)
    assert migrate(migrated) == Migrated(newest_version(), newest_version())


def _shape(engine: Engine) -> dict[str, object]:
    """All that a database says of its tables."""
    found = inspect(engine)
    tables = sorted(set(found.get_table_names()) - {"alembic_version"})
    shape: dict[str, object] = {
        table: (
            [{**column, "type": str(column["type"])} for column in found.get_columns(table)],
            found.get_pk_constraint(table)["constrained_columns"],
            sorted(found.get_indexes(table), key=lambda index: str(index["name"])),
        )
        for table in tables
    }
    if engine.dialect.name == "sqlite":  # which tells more by its own words
        with engine.connect() as connection:
            question = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'"
            shape["words"] = {
                name: " ".join((sql or "").split())
                for name, sql in connection.exec_driver_sql(question)
            }
    return shape


@pytest.mark.parametrize(
    ("schema", "data"),
    [("0001", FIRST_DATA), ("0002", SECOND_DATA), ("0003", THIRD_DATA)],
    ids=["first", "second", "third"],
)
def test_data_of_an_earlier_schema_is_still_there_in_the_newest(
    ledger_url: str, tmp_path: Path, schema: str, data: tuple[str, ...]
) -> None:
    engine = open_database(ledger_url)
    versions = _versions(
        tmp_path, *(f"v{number:04d}_*.py" for number in range(1, int(schema) + 1))
    )
    assert migrate(engine, versions) == Migrated("", schema)
    with engine.begin() as connection:
        for statement in data:
            connection.execute(text(statement))
    before = _data(engine, data)
    assert [len(rows) for rows in before.values()] == [1] * len(data)

    assert migrate(engine) == Migrated(schema, newest_version())
    after = _data(engine, data)
    assert {table: _only(after[table], before[table]) for table in before} == before
    with engine.connect() as connection:
        require_schema(connection)


def _data(engine: Engine, statements: tuple[str, ...]) -> dict[str, list[dict[str, object]]]:
    tables = [statement.split()[2] for statement in statements]
    with engine.connect() as connection:
        return {
            table: [
                dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()
            ]
            for table in tables
        }


def _only(
    rows: list[dict[str, object]], names_of: list[dict[str, object]]
) -> list[dict[str, object]]:
    """*rows* without the columns that came later."""
    return [{name: row[name] for name in names_of[0]} for row in rows]


def _versions(parent: Path, *patterns: str) -> Path:
    """The migrations of an alignd that had only those of these names."""
    directory = parent / "versions"
    directory.mkdir()
    for pattern in patterns:
        for path in VERSIONS.glob(pattern):
            shutil.copy(path, directory)
    return directory


def _later_version(parent: Path, *statements: str) -> Path:
    """The migrations of a later alignd, which has one more of these *statements*."""
    directory = _versions(parent, "v*.py")
    lines = [
        "from alembic import op",
        f"revision, down_revision = '9999', '{newest_version()}'",
        "def upgrade():",
        *(f"    op.execute({statement!r})" for statement in statements),
    ]
    (directory / "v9999_more.py").write_text("\n".join(lines))
    return directory


def test_a_migration_that_fails_leaves_the_schema_and_the_data_as_they_were(
    ledger_url: str, tmp_path: Path
) -> None:
    engine = open_database(ledger_url)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text(FIRST_DATA[0]))
    shape = _shape(engine)
    failing = ("CREATE TABLE half (name TEXT)", "DELETE FROM hours", "DROP TABLE nowhere")
    later = _later_version(tmp_path, *failing)

    for _ in range(2):
        with pytest.raises(LedgerError, match="nowhere"):
            migrate(engine, later)
    assert _shape(engine) == shape
    with engine.connect() as connection:
        assert len(connection.execute(text("SELECT * FROM hours")).all()) == 1
    assert migrate(engine) == Migrated(newest_version(), newest_version())


def test_a_relay_that_may_change_no_schema_uses_one_that_is_there(
    postgresql: PostgreSql,
) -> None:
    name = postgresql.new_database()
    migrate(open_database(postgresql.url(name)))
    postgresql.sql(
        "DROP ROLE IF EXISTS relay; CREATE ROLE relay LOGIN; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO relay",
        name,
    )
    try:
        engine = open_database(postgresql.url(name, "relay"))
        assert migrate(engine) == Migrated(newest_version(), newest_version())
        with engine.begin() as connection:
            assert apply_batch(connection, batch_of("mycompany.com"), RELAY, NOON) == []
    finally:
        postgresql.sql("DROP OWNED BY relay; DROP ROLE relay", name)


def test_a_migration_waits_for_those_who_write_and_they_for_it(
    ledger_url: str, tmp_path: Path
) -> None:
    engine = open_database(ledger_url)
    migrate(engine)
    later = _later_version(tmp_path, "ALTER TABLE hours ADD COLUMN more TEXT")
    stopped = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not stopped.is_set():
            with engine.begin() as connection:
                apply_batch(connection, batch_of("mycompany.com"), RELAY, NOON)
            written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(written) > 2, "a write")
    assert migrate(engine, later) == Migrated(newest_version(), "9999")
    count = len(written)
    wait_until(lambda: len(written) > count + 2, "a write after the migration")
    stopped.set()
    writer.join()
    with engine.connect() as connection:
        messages = connection.execute(text("SELECT sum(messages) FROM hours")).scalar_one()
    assert messages == len(written)


def test_several_that_migrate_at_once_wait_for_one_another(ledger_url: str) -> None:
    found: list[Migrated] = []
    threads = [
        threading.Thread(target=lambda: found.append(migrate(open_database(ledger_url))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.before for each in found) == ["", *[newest_version()] * 3]


def test_a_newer_schema_is_refused_with_both_numbers_and_left_alone(ledger_url: str) -> None:
    engine = open_database(ledger_url)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SchemaError, match=rf"9999.*{newest_version()}.*upgrade alignd"):
        migrate(engine)
    with engine.connect() as connection, pytest.raises(SchemaError, match="9999"):
        require_schema(connection)
    with engine.connect() as connection:
        (found,) = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
    assert found == "9999"


def test_a_database_without_tables_says_what_makes_them(ledger_url: str) -> None:
    with (
        open_database(ledger_url).connect() as connection,
        pytest.raises(SchemaError, match=r"no tables yet.*alignd ledger migrate"),
    ):
        require_schema(connection)
