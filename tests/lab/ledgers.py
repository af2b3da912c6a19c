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
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.url(server.new_database())
