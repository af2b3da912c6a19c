"""Fixtures of all tests: the nameserver and the running alignds of one session."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import settings

from tests.lab.alignd import Fleet, run_fleet
from tests.lab.nameserver import Nameserver, run_nameserver

# No test is a timed one: this machine may be busy with others.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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
