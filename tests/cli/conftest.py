"""Fixtures of the tests of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commandline import CommandLine
from tests.support.prefork import Prefork, run_prefork


@pytest.fixture(scope="session")
def prefork() -> Iterator[Prefork]:
    with run_prefork() as prefork:
        yield prefork


@pytest.fixture
def cli(tmp_path: Path, prefork: Prefork) -> CommandLine:
    return CommandLine(tmp_path, prefork)
