"""The databases that a ledger can be in: each test that asks for one runs on both engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.postgresql import PostgreSql, run_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """One cluster for all tests, which leave it running."""
    with run_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    return _new_database(request, request.param, tmp_path / "ledger.sqlite")


@pytest.fixture
def other_ledger_url(request: pytest.FixtureRequest, ledger_url: str, tmp_path: Path) -> str:
    """Another one, on the same engine."""
    engine = ledger_url.partition(":")[0]
    return _new_database(request, engine, tmp_path / "other.sqlite")


def _new_database(request: pytest.FixtureRequest, engine: str, file: Path) -> str:
    if engine == "sqlite":
        return f"sqlite:///{file}"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.url(server.new_database())
