"""The address of the page on the relay: what it shows comes from the file and from the ledger."""

from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from alignd.config.settings import WebOptions
from alignd.doctor.findings import FindingId, Topic, error, topic_report
from alignd.doctor.report.document import report_text
from alignd.doctor.report.file import save_report
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.window.protocol import Obstacle, WindowError
from alignd.ledger.window.questions import RelaysQuestion
from alignd.ledger.window.reader import LedgerReader
from alignd.web.app.pages import make_pages
from alignd.web.desk.desk import Desk
from alignd.web.desk.snapshots import Snapshots, heard_of, overview_of
from tests.support.desks import ORIGIN, Heard, SilentDns
from tests.support.languages import TEXTS

NOW = 1_790_000_000.0
TOPICS = (
    topic_report(Topic.HELO, [error(FindingId.HELO_UNRESOLVED, "<b>no</b>", "why", "fix it")]),
)
ROW = RelayRow("a.example", "outbound", NOW - 900, NOW - 30, "0.1.0", "ab", False, False, 7)


def knowing(question: Any) -> Any:
    assert isinstance(question, RelaysQuestion)
    return [ROW]


def refusing(question: Any) -> Any:
    raise WindowError(Obstacle.UNREACHABLE, f"{type(question).__name__}: nobody answers")


def get(path: str, report: Path, ask: Any = knowing) -> TestResponse:
    ledger, heard = LedgerReader(ask), Heard()
    desk = Desk(
        options=WebOptions(doctor=str(report)),
        ledger=ledger,
        snapshots=Snapshots(overview_of(ledger), heard.ledger.append),
        receivers=Snapshots(heard_of(ledger, is_dry=False), heard.ledger.append),
        checker=SilentDns(),
        texts=TEXTS,
        providers=frozenset(),
        clock=lambda: NOW,
        form_secret=b"x" * 32,
        log=heard,
    )
    response = make_pages(desk).test_client().get(path, base_url=ORIGIN)
    assert heard == Heard()
    return response


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    save_report(path, report_text(TOPICS, "smtp2.easyredmine.com", 1, NOW - 720))
    return path


def test_the_page_shows_what_doctor_said_and_the_relays(report: Path) -> None:
    response = get("/relays", report)

    assert response.status_code == 200
    assert "&lt;b&gt;no&lt;/b&gt;" in response.text
    assert "12 minutes ago" in response.text
    assert "a.example" in response.text
    assert 'href="/relays" aria-current="page"' in response.text


def test_the_page_is_in_the_language_that_is_chosen(report: Path) -> None:
    text = get("/relays?language=cs", report).text

    assert '<html lang="cs">' in text
    assert "před 12 minutami" in text


def test_the_page_is_there_without_a_report_and_without_a_ledger(tmp_path: Path) -> None:
    response = get("/relays", tmp_path / "none", refusing)

    assert response.status_code == 200
    assert "systemctl enable --now alignd-doctor.timer" in response.text
    assert "RelaysQuestion: nobody answers" in response.text


def test_programs_get_the_same(report: Path) -> None:
    found = get("/relays.json", report).get_json()

    assert found["doctor"]["relay"] == "smtp2.easyredmine.com"
    assert found["doctor"]["topics"][0]["findings"][0]["what"] == "<b>no</b>"
    assert [each["relay"] for each in found["relays"]] == ["a.example"]
    assert get("/relays.json", report, refusing).get_json()["relays"] is None
