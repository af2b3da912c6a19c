"""Brings the schema of a ledger to the version of this alignd: forwards only, one at a time.

Two relays that start at once wait for one another. A database with a newer schema is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from alignd.ledger import migrations

_LOCK = 0x616C6764_6D696772  # "algdmigr", of pg_advisory_lock
APPLICATION = 0x616C6C64
"""Of SQLite's `application_id`: "alld", by which a file says whose it is."""
VERSIONS = Path(migrations.__path__[0])


class SchemaError(Exception):
    """The schema cannot be used by this alignd: its text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What `migrate` has done; both are empty for a database without a schema."""

    before: str
    now: str


@lru_cache(maxsize=1)  # Alembic runs the files anew: 4 ms, of each question at the window
def newest_version() -> str:
    """The version of the schema that this alignd writes."""
    return str(_scripts(VERSIONS).get_current_head())


def migrate(engine: Engine, versions: Path = VERSIONS) -> Migrated:
    """Bring the schema to the newest of the *versions* in that directory, in one transaction.

    Raises:
        SchemaError: it is newer than this alignd.
        LedgerError: the database cannot be used.
    """
    scripts = _scripts(versions)
    with _locked(engine) as connection:
        context = MigrationContext.configure(connection)
        before = context.get_current_revision() or ""
        _require_known(scripts, before)
        head = str(scripts.get_current_head())
        steps = [] if before == head else list(scripts.iterate_revisions(head, before or "base"))
        with Operations.context(context):
            for step in reversed(steps):
                step.module.upgrade()
                context.stamp(scripts, step.revision)
        if steps and connection.dialect.name == "sqlite":
            connection.execute(text(f"PRAGMA application_id = {APPLICATION}"))
        return Migrated(before, head)


def require_schema(connection: Connection) -> None:
    """See that the schema is one that this alignd can read.

    Raises:
        SchemaError: it is newer, older, or none.
        LedgerError: the database cannot be used.
    """
    found = MigrationContext.configure(connection).get_current_revision() or ""
    if found == newest_version():
        return
    _require_known(_scripts(VERSIONS), found)
    have = f"has schema {found}" if found else "has no tables yet"
    raise SchemaError(
        f"the ledger {have}, and this alignd reads {newest_version()}: run `alignd ledger "
        "migrate`, or start the service, which does so"
    )


def _require_known(scripts: ScriptDirectory, version: str) -> None:
    known = [each.revision for each in scripts.walk_revisions()]
    if version and version not in known:
        raise SchemaError(
            f"the ledger has schema {version}, and this alignd knows "
            f"{scripts.get_current_head()} at most: upgrade alignd"
        )


def _scripts(versions: Path) -> ScriptDirectory:
    return ScriptDirectory(versions, version_locations=[versions])


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other migration runs beside."""
    with engine.begin() as connection:  # on SQLite nobody else writes from now on
        if connection.dialect.name == "postgresql":
            # A migration of much data takes longer than a statement of the mail path may.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield connection
