"""The schema of a ledger: it comes to its newest version, and never goes back."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, select, text

from alignd.ledger import migrations
from alignd.ledger.database import open_database
from alignd.ledger.migration import (
    Migrated,
    SchemaError,
    migrate,
    newest_version,
    require_schema,
)
from alignd.ledger.tables import DAYS, DELIVERIES, EVENTS, METADATA


def upgrade_to(engine: Engine, version: str) -> None:
    """Make the schema as an earlier alignd did."""
    (path,) = migrations.__path__
    scripts = ScriptDirectory(path, version_locations=[path])
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            for step in reversed(list(scripts.iterate_revisions(version, "base"))):
                step.module.upgrade()
                context.stamp(scripts, step.revision)


def test_migrations_make_just_the_tables_that_the_code_uses(ledger_url: str) -> None:
    engine = open_database(ledger_url)
    assert migrate(engine) == Migrated("", newest_version())
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        require_schema(connection)
    assert migrate(engine) == Migrated(newest_version(), newest_version())


def test_what_the_first_schema_has_is_there_in_the_newest(ledger_url: str) -> None:
    engine = open_database(ledger_url)
    upgrade_to(engine, "0001")
    event = {"id": "e1", "at": 5.0, "kind": "stopped", "domain": "a.example"}
    count = {"day": 0, "leg": "outbound", "tenant": "", "domain": "a.example", "messages": 7}
    with engine.begin() as connection:
        connection.execute(insert(EVENTS), event)
        connection.execute(insert(DAYS), {**count, "action": "pass", "reason": "spf-aligned"})
    assert migrate(engine) == Migrated("0001", newest_version())

    with engine.begin() as connection:
        assert connection.execute(select(EVENTS.c.at, EVENTS.c.domain)).all() == [
            (5.0, "a.example")
        ]
        assert connection.execute(select(DAYS.c.messages)).scalars().all() == [7]
        connection.execute(insert(DELIVERIES), {"event": "e1", "target": "x", "attempts": 0})
        require_schema(connection)


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
