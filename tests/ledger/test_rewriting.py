"""Whose mail was rewritten is told beside what was found of the same domains at other times."""

import pytest
from sqlalchemy import insert

from alignd.ledger.answer import OTHER, Finding
from alignd.ledger.batch import DAY
from alignd.ledger.queries.opening import open_ledger
from alignd.ledger.receivers.read import receivers
from alignd.ledger.receivers.rows import Rewriting
from alignd.ledger.tables import DAYS
from alignd.ledger.window.database import DatabaseAsks
from alignd.ledger.window.reader import LedgerReader
from tests.lab.ledger_rows import NOW, PASSED, REWRITTEN, Mail, new_ledger

SILENT = Finding("rewrite", "dns-unknown", "unknown", "temperror", "none")
TOLD = "relay-not-authorised"
STORY = (
    Mail("late.example", REWRITTEN, 5, days_ago=20),
    Mail("late.example", PASSED, 50, days_ago=10),
    Mail("late.example", REWRITTEN, 7, days_ago=4),
    Mail("late.example", PASSED, 1, days_ago=3),
    Mail("never.example", REWRITTEN, 90, days_ago=2),
    Mail("silent.example", PASSED, 30, days_ago=8),
    Mail("silent.example", SILENT, 10, days_ago=2),
    Mail("good.example", PASSED, 400, days_ago=2),
    Mail(OTHER, REWRITTEN, 50, days_ago=1),
    Mail("", Finding("rewrite", "from-malformed"), 2, days_ago=1),
    Mail("shared.example", PASSED, 1, days_ago=9, tenant="easy"),
    Mail("shared.example", REWRITTEN, 4, days_ago=1),
)


@pytest.fixture
def url(ledger_url: str) -> str:
    new_ledger(ledger_url, STORY).dispose()
    return ledger_url


def rewriting(url: str, tenant: str | None = None, domain: str | None = None) -> set[Rewriting]:
    with open_ledger(url) as ledger:
        found = receivers(ledger, "outbound", tenant, domain, NOW - 15 * DAY, NOW).rewriting
    assert list(found) == sorted(found, key=lambda each: -each.messages)
    return set(found)


def test_all_domains_are_told_whatever_receivers_said(url: str) -> None:
    assert rewriting(url) == {
        Rewriting("never.example", TOLD, 90, 0, 0, is_over=False),
        Rewriting("silent.example", "dns-unknown", 10, 0, 30, is_over=False),
        Rewriting("late.example", TOLD, 7, 0, 51, is_over=True),
        Rewriting("shared.example", TOLD, 4, 0, 1, is_over=False),
    }


def test_one_domain_and_one_tenant_can_be_asked_for(url: str) -> None:
    assert {each.domain for each in rewriting(url, domain="late.example")} == {"late.example"}
    assert rewriting(url, tenant="easy") == set()
    assert len(rewriting(url, tenant="")) == 4


def test_what_is_rewritten_after_the_watch_saw_it_pass_is_counted(ledger_url: str) -> None:
    story = (
        Mail("late.example", PASSED, 50, days_ago=10),
        Mail("late.example", PASSED, 50, days_ago=3, tenant="easy"),
        Mail("late.example", PASSED, 1, days_ago=1),
    )
    engine = new_ledger(ledger_url, story)
    with engine.begin() as connection:
        for messages, days_ago in ((8, 5), (2, 1)):
            day = int(NOW) // DAY * DAY - days_ago * DAY
            key = {"day": day, "leg": "outbound", "tenant": "", "domain": "late.example"}
            words = {"action": "rewrite", "reason": TOLD}
            connection.execute(insert(DAYS).values(**key, **words, messages=messages))
    engine.dispose()

    (found,) = rewriting(ledger_url)

    assert (found.messages, found.while_passing, found.is_over) == (10, 2, True)


def test_the_window_tells_the_same(url: str) -> None:
    reader = LedgerReader(DatabaseAsks(url))

    found = reader.receivers(None, None, NOW - 15 * DAY, NOW)

    assert set(found.rewriting) == rewriting(url)
