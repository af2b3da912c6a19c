"""The page as JSON says what the commands say, with what a page knows more."""

import json

from alignd.advice.json import advice_json
from alignd.languages.language import Language
from alignd.ledger.answer import Finding
from alignd.ledger.queries.json import history_json
from alignd.mail.domain import Domain
from alignd.web.desk.examined import (
    ApplyLink,
    Checked,
    CheckProblem,
    NoLink,
    Records,
    TooSoon,
    Trouble,
    WhyNoLink,
)
from alignd.web.views.json import check_json, domain_page_json
from tests.support.languages import TEXTS
from tests.support.web_pages import examined, history, row

NAME = Domain("mycompany.com")
EN = TEXTS[Language.EN]
FOUND = examined(
    'mycompany.com. TXT "v=spf1 -all"\n',
    records=(Records("mycompany.com", (b"\xff\x00",)), Records("_dmarc.mycompany.com", None)),
    link=ApplyLink("https://dns.example/apply", "Example DNS"),
)
PAST = history(NAME.name, [row(NAME.name, Finding("rewrite", "relay-not-authorised"))])


def test_advice_and_history_are_those_of_the_commands() -> None:
    said = domain_page_json(NAME, FOUND, PAST, None)

    assert said["examined"].items() >= advice_json(FOUND.advice).items()
    assert said["history"] == history_json(PAST)
    assert (said["domain"], said["state"], said["trouble"]) == ("mycompany.com", "rewrite", None)
    assert said["examined"]["looked_at"] == "2026-07-01T09:59:00Z"
    assert said["examined"]["domain_connect"] == {
        "url": "https://dns.example/apply",
        "host": "Example DNS",
        "why_not": None,
    }
    assert [each["texts"] for each in said["examined"]["published"]] == [["\xff\x00"], None]
    assert json.loads(json.dumps(said)) == said


def test_what_is_not_known_is_null() -> None:
    said = domain_page_json(NAME, CheckProblem(Trouble.TIMEOUT), None, None)

    assert said == {
        "domain": "mycompany.com",
        "state": "unknown",
        "trouble": "timeout",
        "examined": None,
        "history": None,
        "receivers": None,
    }


def test_evidence_without_a_verdict_is_said_with_the_trouble() -> None:
    said = domain_page_json(NAME, CheckProblem(Trouble.DNS, found=FOUND), None, None)

    assert (said["state"], said["trouble"]) == ("unknown", "dns")
    assert said["examined"]["spf"]


def test_why_there_is_no_link_is_a_word() -> None:
    found = examined("", link=NoLink(WhyNoLink.UNSUPPORTED, "detail"))
    said = domain_page_json(NAME, found, None, None)

    assert said["examined"]["domain_connect"] == {
        "url": None,
        "host": None,
        "why_not": "unsupported",
    }


def test_what_came_of_a_check_is_a_word_with_its_sentence() -> None:
    too_soon = check_json(TooSoon(3.0), EN)
    problem = check_json(CheckProblem(Trouble.BUSY), EN)
    assert all(each["problem"] == each["sentence"] for each in (too_soon, problem))
    checked = check_json(Checked(None, FOUND, is_seen_by_mail=True), EN)

    assert (too_soon["outcome"], too_soon["seconds"]) == ("too-soon", 3.0)
    assert (problem["outcome"], problem["trouble"]) == ("problem", "busy")
    assert (checked["outcome"], checked["state"], checked["seen_by_mail"]) == (
        "checked",
        "rewrite",
        True,
    )
    assert checked["sentence"] == "Looked at 1 July 2026, 09:59 UTC."
