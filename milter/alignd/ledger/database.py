"""Opens the databases of a ledger: SQLite and PostgreSQL, by SQLAlchemy."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    Engine,
    Insert,
    Table,
    cast,
    create_engine,
    event,
    func,
    make_url,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.elements import ColumnElement

LedgerError = SQLAlchemyError
"""What every use of an engine may raise; `problem_of` makes a line of it."""
PATIENCE = 5.0
"""Seconds to wait for a lock or a connection, and for a statement to end on a server."""
READING_PATIENCE = 60.0
"""Seconds for a statement of somebody who waits for a table of all domains."""
_SQLITE, _DRIVER = "sqlite", "postgresql+psycopg"
_PRIVATE = 0o600
# What was sent to a shared database, and its number, must not be forgotten by a machine that loses
# power: the number would be given to other counts, which would be taken for the same.
_PRAGMAS = ("PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")
_DAY = 86_400
_STEPS = 100_000
"""Instructions of SQLite's machine, a few milliseconds, between two looks at the time."""
# So that a server forgets a relay that is gone, and the locks that it held, within a minute.
_KEEP_ALIVE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"

# So that a relay does not wait for a server that is gone, for the kernel's quarter of an hour.
_GIVE_UP: dict[str, int] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}


def open_database(url: str, *, patience: float = PATIENCE) -> Engine:
    """Open the database at *url*, as `ledger.url` and `LedgerPlace` have it; connects to nothing.

    Each use of the engine gets a connection of its own, which ends with it: a server may have gone
    away between two. `with engine.begin() as connection:` is one transaction, which waits for
    those of others before it begins (SQLite: BEGIN IMMEDIATE).

    Raises, as every use of the engine does:
        LedgerError: see `problem_of`.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == _SQLITE:
        engine = create_engine(
            parsed, poolclass=NullPool, paramstyle="named", connect_args={"timeout": patience}
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin)
        return engine
    return _on_server(parsed, patience, patience)


def open_existing(url: str, *, patience: float = PATIENCE) -> Engine:
    """Open the database at *url* as `open_database` does; a file is not made where there is none.

    For those who are not its service: they leave its journal as that has it.

    Raises, as every use of the engine does:
        LedgerError: see `problem_of`.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != _SQLITE:
        return _on_server(parsed, patience, patience)
    path = parsed.database or ""

    def connect() -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=patience)
        except sqlite3.Error as error:
            problem = (
                f"cannot be opened ({error}); run this as the user of the service"
                if os.path.exists(path)
                else "there is no such ledger; the service makes it when it starts"
            )
            raise LedgerError(f"{path}: {problem}") from error
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, paramstyle="named")
    event.listen(engine, "begin", _begin)
    return engine


def open_for_reading(url: str) -> Engine:
    """Open the database at *url* to read only, without being in the way of those who write.

    All that one connection reads is of one moment. A file is not made where there is none.

    Raises, as every use of the engine does:
        LedgerError: see `problem_of`.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != _SQLITE:
        engine = _on_server(parsed, PATIENCE, READING_PATIENCE)
        return engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    path = quote(parsed.database or "")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=PATIENCE)
        connection.isolation_level = None
        connection.execute("PRAGMA query_only=ON")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin_reading)
    return engine


def give_up_when(connection: Connection, is_over: Callable[[], bool]) -> None:
    """Have statements of this connection to SQLite fail once *is_over* says so."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(is_over, _STEPS)


def shown(url: str) -> str:
    """The URL of a database without its password.

    Raises:
        ValueError: it is none; the text does not quote it.
    """
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ValueError, LedgerError) as error:
        raise ValueError("not the URL of a database") from error


def create_file(path: Path) -> None:
    """Make an empty file at *path* that others cannot read, if there is none.

    One that root makes belongs to whom the directory belongs: it is for the service.

    Raises:
        OSError: that is not possible.
    """
    try:
        new = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _PRIVATE)
    except FileExistsError:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))
        return
    try:
        if os.geteuid() == 0:
            place, own = path.parent.stat(), os.fstat(new)
            if (place.st_uid, place.st_gid) != (own.st_uid, own.st_gid):
                os.fchown(new, place.st_uid, place.st_gid)  # the filter of the unit forbids it
    finally:
        os.close(new)


def problem_of(error: Exception) -> str:
    """What is wrong with a database, in one line, without the statement and its parameters."""
    cause = getattr(error, "orig", None) or error
    # What libpq says first; its later lines quote the statement.
    return next(iter(str(cause).strip().splitlines()), "") or type(cause).__name__


def add_up(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], column: str
) -> None:
    """Insert *rows*, adding *column* to those that are there already.

    In the order of their keys: transactions that lock rows in another order than others deadlock
    (measured on PostgreSQL: 14 in 6 s with eight writers, and none so).
    """
    if not rows:
        return
    keys = [each.name for each in table.primary_key]
    statement = insert(connection, table)
    added = {column: table.c[column] + statement.excluded[column]}
    ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
    execute_each(
        connection, statement.on_conflict_do_update(index_elements=keys, set_=added), ordered
    )


def execute_each(
    connection: Connection, statement: Insert, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Execute *statement* for each of *rows*, which have the same columns.

    SQLAlchemy compiles it; the driver gets the rows as they are. What SQLAlchemy makes of each row
    before takes longer than SQLite takes to write it (measured: a third of a batch's time).
    """
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
    fixed = compiled.params
    connection.exec_driver_sql(compiled.string, [{**fixed, **row} for row in rows])


def day_of(connection: Connection, column: ColumnElement[float]) -> ColumnElement[int]:
    """The time at which the day (UTC) begins in which the Unix time in *column* is."""
    # CAST rounds on PostgreSQL and cuts on SQLite, which has no floor() everywhere.
    is_server = connection.dialect.name == "postgresql"
    second = cast(func.floor(column) if is_server else column, BigInteger)
    return second - second % _DAY


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """The INSERT of this dialect, which has ON CONFLICT."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _on_server(url: URL, patience: float, statement_patience: float) -> Engine:
    milliseconds = round(statement_patience * 1000)
    try:
        return create_engine(
            url.set(drivername=_DRIVER),
            poolclass=NullPool,
            connect_args={
                "connect_timeout": max(2, round(patience)),  # libpq takes 1 for 2
                "application_name": "alignd",
                **_GIVE_UP,
                "options": f"-c statement_timeout={milliseconds} "
                f"-c lock_timeout={round(patience * 1000)} {_KEEP_ALIVE}",
            },
        )
    except ModuleNotFoundError as error:
        raise LedgerError("PostgreSQL needs psycopg: pip install 'alignd[postgresql]'") from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # else the driver begins transactions by rules of its own
    connection.execute("PRAGMA journal_mode=WAL")
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    # A transaction that begins by reading could not write once another one has written.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
