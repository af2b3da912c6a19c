"""Fixtures of all tests: the nameserver and the running alignds of one session."""

from collections.abc import Generator, Iterator
from itertools import count

import pytest
from hypothesis import settings

from tests.lab.alignd import Fleet, run_fleet
from tests.lab.evidence import Witness
from tests.lab.nameserver import Nameserver, run_nameserver

pytest_plugins = ["tests.lab.ledgers"]

# No test is a timed one: this machine may be busy with others.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the fixtures have seen; blocks in a test do so themselves."""
    report = yield
    if call.when == "call" and report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Witness):
                report.sections.append((name, value.evidence()))
    return report


@pytest.fixture(scope="session")
def nameserver() -> Iterator[Nameserver]:
    with run_nameserver() as nameserver:
        yield nameserver


@pytest.fixture(scope="session")
def fleet(nameserver: Nameserver) -> Iterator[Fleet]:
    with run_fleet(nameserver.address) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def queue_ids() -> Iterator[str]:
    return (f"4bQx{number:05d}" for number in count())
