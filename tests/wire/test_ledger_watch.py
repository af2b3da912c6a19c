"""The running service notices without mail what the owner of an author domain publishes."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import run_watched

pytestmark = pytest.mark.wire

AGENT = "marky.mark@mycompany.com"
MESSAGE = f"From: <{AGENT}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
POLICY = '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n'
BEFORE = world(f'{POLICY}mycompany.com. TXT "v=spf1 -all"\n')
PUBLISHED = world(f'{POLICY}mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n')
OPTIONS = 'watch = "500ms"\nconfirm = "200ms"\nquestions = 1000\n'
_EVENTS = "SELECT kind, domain, was, now FROM events"


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def test_a_record_that_is_published_becomes_an_event_without_mail(
    nameserver: Nameserver, directory: Path, queue_ids: Iterator[str]
) -> None:
    nameserver.serve(BEFORE)
    file = directory / "ledger.sqlite"
    changes = f'[ledger]\nurl = "sqlite:///{file}"\n{OPTIONS}'
    with run_watched(directory / "alignd", nameserver.address, changes) as watched:
        with MilterConnection(watched.alignd.socket) as mta:
            answered = mta.send(
                AGENT, ("julia@customer.example",), MESSAGE, queue_id=next(queue_ids)
            )
            assert answered.accepted
        wait_until(
            lambda: watched.scrape().of("alignd_ledger_looks_total", result="same"), "a look"
        )
        nameserver.serve(PUBLISHED)
        wait_until(
            lambda: watched.scrape().of("alignd_ledger_events_total", kind="stopped"), "an event"
        )
        assert watched.scrape().of("alignd_ledger_looks_total", result="failed") == 0
        assert "kind=stopped domain=mycompany.com" in watched.alignd.log()
    with closing(sqlite3.connect(file)) as database:
        ((kind, domain, was, now),) = database.execute(_EVENTS).fetchall()
    assert (kind, domain) == ("stopped", "mycompany.com")
    before, after = json.loads(was), json.loads(now)
    assert (before["reason"], after["reason"]) == ("relay-not-authorised", "spf-aligned")
    assert before["since"] < after["since"]


def test_that_nobody_looks_is_told_of_until_somebody_does(
    nameserver: Nameserver, directory: Path
) -> None:
    nameserver.serve(BEFORE)
    file = directory / "ledger.sqlite"
    changes = f'[ledger]\nurl = "sqlite:///{file}"\n{OPTIONS}'

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as database:
            database.execute(f"ALTER TABLE {old} RENAME TO {new}")

    with run_watched(directory / "alignd", nameserver.address, changes) as watched:
        wait_until(lambda: watched.scrape().of("alignd_ledger_state", state="good"), "the ledger")
        rename("states", "elsewhere")
        wait_until(
            lambda: "author domains are not looked at problem=" in watched.alignd.log(), "the line"
        )
        rename("elsewhere", "states")
        wait_until(
            lambda: "author domains are looked at again" in watched.alignd.log(), "it to be over"
        )
