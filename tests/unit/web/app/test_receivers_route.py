"""What receivers said, as a browser and as a program get it, from a real ledger."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from alignd.ledger.database import open_database
from alignd.ledger.receivers.rows import Receivers
from alignd.ledger.window.protocol import Obstacle, WindowError
from alignd.ledger.window.questions import AnyQuestion
from alignd.ledger.window.reader import LedgerReader
from alignd.ledger.window.spans import ReceiversQuestion
from alignd.mail.domain import Domain
from alignd.web.app.pages import make_pages
from alignd.web.app.shared import make_shared
from alignd.web.desk.snapshots import heard_of
from alignd.web.heard import SPANS
from alignd.web.sharing import ShareLink, new_id, token_of
from tests.lab.ledger_rows import NOW, REPORTER, hear
from tests.support.desks import KEYRING, ORIGIN, SHARE_ORIGIN, Setting, open_desk

DAYS_AGO = 12
"""A day on which mycompany.com sent mail that was left alone, and nothing changed."""


@pytest.fixture
def setting(story: str) -> Iterator[Setting]:
    engine = open_database(story)
    hear(engine, "mycompany.com", [DAYS_AGO])
    engine.dispose()
    with open_desk(story) as setting:
        yield setting
        assert setting.heard.failures == []


@pytest.fixture
def client(setting: Setting) -> FlaskClient:
    return make_pages(setting.desk).test_client()


def test_the_page_has_replies_and_reports(client: FlaskClient) -> None:
    answer = client.get("/receivers", base_url=ORIGIN)
    assert answer.status_code == 200
    assert "postbox.example" in answer.text
    assert REPORTER in answer.text
    assert 'href="/receivers" aria-current="page"' in answer.text


def test_it_is_in_the_language_that_is_chosen(client: FlaskClient) -> None:
    assert '<html lang="cs">' in client.get("/receivers?language=cs", base_url=ORIGIN).text


def test_programs_get_the_same(client: FlaskClient) -> None:
    found = client.get("/receivers.json", base_url=ORIGIN).get_json()
    assert found["reports"] == 1
    assert [each["name"] for each in found["left_alone"]] == [REPORTER]
    assert [each["receiver"] for each in found["replies"]] == ["postbox.example"]


def test_the_list_has_a_line_with_a_link(client: FlaskClient) -> None:
    text = client.get("/", base_url=ORIGIN).text
    assert "receivers refused 4 messages that were to pass" in text
    assert 'href="/receivers"' in text


def test_a_domain_and_a_link_have_their_own(setting: Setting, client: FlaskClient) -> None:
    assert "postbox.example" in client.get("/domains/mycompany.com", base_url=ORIGIN).text
    assert "postbox.example" not in client.get("/domains/good.example", base_url=ORIGIN).text
    shared = make_shared(setting.desk).test_client()
    for tenant, is_there in (("", True), ("easy", False)):
        link = ShareLink(Domain("mycompany.com"), tenant, "en", new_id(3, NOW, b"\xa5" * 8))
        token = token_of(link, KEYRING.signing)
        text = shared.get(f"/{token}", base_url=SHARE_ORIGIN).text
        assert ("postbox.example" in text) is is_there
        assert (REPORTER in text) is is_there


def test_many_pages_ask_the_ledger_once(setting: Setting, client: FlaskClient) -> None:
    for path in ("/receivers", "/receivers.json", "/receivers", "/"):
        assert client.get(path, base_url=ORIGIN).status_code == 200
    assert setting.ledger.asked == 2, "the list, and what receivers said"


def test_without_a_ledger_every_page_is_there_and_says_so(
    setting: Setting, client: FlaskClient
) -> None:
    setting.ledger.obstacle = WindowError(Obstacle.UNREACHABLE, "nobody there")
    answer = client.get("/receivers", base_url=ORIGIN)
    assert answer.status_code == 200
    assert "nobody there" in answer.text
    assert client.get("/receivers.json", base_url=ORIGIN).status_code == 503
    text = client.get("/domains/mycompany.com", base_url=ORIGIN).text
    assert "What receivers said cannot be read from the ledger now." in text


@pytest.mark.parametrize("fitting", SPANS)
def test_where_there_is_too_much_fewer_days_are_read(fitting: int) -> None:
    def ask(question: AnyQuestion) -> Receivers:
        assert isinstance(question, ReceiversQuestion)
        if question.span.since < NOW - fitting * 86_400:
            raise WindowError(Obstacle.TOO_LARGE, "too much")
        return Receivers()

    assert heard_of(LedgerReader(ask), is_dry=False)(NOW).days == fitting  # type: ignore[arg-type]


def test_the_page_loads_no_reader_of_reports() -> None:
    """They are parsers of what strangers send, and no part of what others can reach."""
    script = (
        "import sys, alignd.service.page\n"
        "assert 'alignd.reports.joined' in sys.modules\n"
        "print([name for name in ('lxml', 'imapclient', 'alignd.reports.document',"
        " 'alignd.reports.imap') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
