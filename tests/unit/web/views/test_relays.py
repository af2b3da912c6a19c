"""The page on the relay itself: what doctor said, and who of the fleet gives signs of life."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from alignd.doctor.findings import Severity
from alignd.doctor.report.document import (
    ReportProblem,
    ReportTrouble,
    SavedFinding,
    SavedReport,
    SavedTopic,
)
from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language
from alignd.languages.texts import Texts
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.window.protocol import Obstacle
from alignd.web.app.rendering import Renderer
from alignd.web.views.examination import (
    MAX_SHOWN,
    ExaminationView,
    NoExaminationView,
    Verdict,
    verdict_of,
)
from alignd.web.views.relays import (
    NoRelays,
    RelaysPage,
    having_another_configuration,
    relays_json,
    relays_page,
)
from alignd.web.views.times import ago, instant

NOW = 1_790_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
ENGLISH = load_texts(Language.EN)
ATTACK = "<script>alert('&\"')</script>"


def finding(severity: Severity = Severity.ERROR, what: str = "it has no address") -> SavedFinding:
    return SavedFinding("helo-unresolved", severity, what, "mail is refused", "one\n  two")


def topic(name: str, *findings: SavedFinding, unknown: Sequence[str] = ()) -> SavedTopic:
    return SavedTopic(name, findings, tuple(unknown), (), ())


def report(*topics: SavedTopic, status: int = 0, age: float = 12 * MINUTE) -> SavedReport:
    return SavedReport(NOW - age, "smtp2.easyredmine.com", status, topics)


GOOD = report(topic("helo"), topic("chain"))
BAD = report(topic("helo"), topic("chain", finding()), status=1)


def row(relay: str = "a.example", **changes: Any) -> RelayRow:
    usual = RelayRow(
        *(relay, "outbound", NOW - 9 * DAY, NOW - 30, "0.1.0", "ab" * 32, False, False, 1234)
    )
    return replace(usual, **changes)


SILENT = row("z.example", is_silent=True, last_seen=NOW - 3 * HOUR)


def page_of(
    said: SavedReport | ReportProblem = GOOD,
    relays: Sequence[RelayRow] | NoRelays = (),
    texts: Texts = ENGLISH,
) -> RelaysPage:
    return relays_page(said, relays, NOW, texts)


def examined(said: SavedReport) -> ExaminationView:
    view = page_of(said).examination
    assert isinstance(view, ExaminationView)
    return view


def rendered(page: RelaysPage, language: Language = Language.EN) -> str:
    text = Renderer({language: load_texts(language)}).render(
        "relays.html",
        language,
        page=page,
        here="relays",
        is_share=False,
        language_links=[],
        link=str,
    )
    return text.partition("<main")[2]


@pytest.mark.parametrize(
    ("said", "verdict", "summary"),
    [
        pytest.param(GOOD, Verdict.OK, "Nothing is wrong.", id="good"),
        pytest.param(
            report(SavedTopic("application", (), (), ("give the address",), ())),
            Verdict.OK,
            "Nothing is wrong.",
            id="skipped",
        ),
        pytest.param(
            report(topic("helo"), topic("chain", unknown=["no postconf"]), status=2),
            Verdict.UNKNOWN,
            "Nothing is wrong, but not everything could be checked.",
            id="unknown",
        ),
        pytest.param(
            report(),
            Verdict.UNKNOWN,
            "Nothing is wrong, but not everything could be checked.",
            id="nothing-checked",
        ),
        pytest.param(
            report(topic("helo", finding(Severity.WARNING)), topic("x", unknown=["y"]), status=1),
            Verdict.WARNING,
            "1 finding puts some mail at risk.",
            id="warning",
        ),
        pytest.param(
            report(topic("helo", finding(Severity.WARNING), finding(), finding()), status=1),
            Verdict.FAILURE,
            "2 findings cost mail: mail is lost, refused or blocked.",
            id="failure",
        ),
    ],
)
def test_one_word_and_one_sentence_say_how_it_is(
    said: SavedReport, verdict: Verdict, summary: str
) -> None:
    view = examined(said)

    assert verdict_of(said) is verdict
    assert view.summary == summary
    assert view.ago == "12 minutes ago"
    assert view.warning == ""


def test_the_worst_topic_is_the_first_and_others_keep_their_order() -> None:
    view = examined(
        report(
            topic("helo"),
            topic("socket", unknown=["x"]),
            topic("chain", finding(Severity.WARNING)),
            topic("limits"),
            topic("signer", finding()),
        )
    )

    assert [each.topic for each in view.topics] == ["signer", "chain", "socket", "helo", "limits"]
    assert [each.badge.word for each in view.topics] == [
        *("failure", "warning", "unknown"),
        *("in order", "in order"),
    ]
    assert len({each.badge.style for each in view.topics}) == 4


def test_a_topic_of_a_later_alignd_has_no_title() -> None:
    known, new = examined(report(topic("helo"), topic("teleport"))).topics

    assert known.title == "the HELO name and the names of the relay addresses"
    assert (new.topic, new.title) == ("teleport", "")


def test_of_a_thousand_findings_some_are_shown_and_the_rest_is_counted() -> None:
    many = topic("helo", *[finding()] * 1000, unknown=["x"] * (MAX_SHOWN + 1))

    (shown,) = examined(report(many, status=1)).topics

    assert (len(shown.findings), len(shown.unknown)) == (MAX_SHOWN, MAX_SHOWN)
    assert shown.left_out == "951 more are not shown: run alignd doctor on the relay."


@pytest.mark.parametrize(
    ("age", "warning"),
    [
        pytest.param(3 * HOUR, "", id="three-hours"),
        pytest.param(3 * HOUR + 1, "This report is older than three hours", id="older"),
        pytest.param(-DAY, "This report is of a time to come", id="tomorrow"),
    ],
)
def test_an_old_report_says_so(age: float, warning: str) -> None:
    said = report(topic("helo"), age=age)

    assert examined(said).warning.startswith(warning)
    assert bool(examined(said).warning) == bool(warning)
    assert ("systemctl status alignd-doctor.timer" in rendered(page_of(said))) == bool(warning)


@pytest.mark.parametrize("trouble", ReportTrouble, ids=lambda trouble: trouble.value)
def test_where_there_is_no_report_the_page_says_why_and_what_to_do(
    trouble: ReportTrouble,
) -> None:
    page = page_of(ReportProblem(trouble, "/run/x: why"))
    view = page.examination
    assert isinstance(view, NoExaminationView)

    text = rendered(page)

    assert view.sentence in text
    assert "/run/x: why" in text
    is_absent = trouble is ReportTrouble.ABSENT
    assert ("systemctl enable --now alignd-doctor.timer</pre>" in text) == is_absent


def test_a_silent_relay_is_the_first_and_said_in_words() -> None:
    page = page_of(relays=[row("a.example"), row("b.example"), SILENT])

    assert page.summary == "1 of 3 relays is silent: nothing was heard of it for ten minutes."
    assert [(each.relay, each.badge.word, each.ago) for each in page.relays] == [
        ("z.example", "silent", "3 hours ago"),
        ("a.example", "alive", "less than a minute ago"),
        ("b.example", "alive", "less than a minute ago"),
    ]
    assert 'class="notice notice-bad">\n<p>1 of 3 relays is silent' in rendered(page)


def test_two_services_of_one_relay_are_one_relay() -> None:
    page = page_of(relays=[row(), row(leg="return", is_dry_run=True, last_day=0)])

    assert page.summary == "1 relay writes to the ledger, and is alive."
    assert [(each.leg, each.mode, each.last_day) for each in page.relays] == [
        ("mail to customers", "changes mail", "1,234"),
        ("answers and bounces", "dry run", "0"),
    ]


def test_no_relay_and_no_ledger_are_different_sentences() -> None:
    none, unknown = (
        page_of(relays=[]),
        page_of(relays=NoRelays(Obstacle.DATABASE, "nobody is <there>")),
    )

    assert none.summary == "No relay has written to the ledger yet."
    assert unknown.summary == "The database of the ledger cannot be read at the moment."
    assert "nobody is &lt;there&gt;" in rendered(unknown)
    assert "<table" not in rendered(none) + rendered(unknown)


def test_a_hundred_relays_each_have_a_row() -> None:
    text = rendered(page_of(relays=[row(f"r{number}.example") for number in range(100)]))

    assert text.count('<th scope="row"') == 100
    assert "100 relays write to the ledger, and all are alive." in text


@pytest.mark.parametrize(
    ("digests", "others"),
    [
        pytest.param("aaa", "", id="all-alike"),
        pytest.param("aab", "2", id="one-of-three"),
        pytest.param("ab", "", id="half-is-not-most"),
        pytest.param("abc", "", id="each-its-own"),
        pytest.param("aaaabb", "45", id="two-of-six"),
        pytest.param("aa-b", "3", id="one-that-says-nothing"),
        pytest.param("---", "", id="all-say-nothing"),
        pytest.param("a", "", id="one"),
        pytest.param("", "", id="none"),
    ],
)
def test_which_relays_have_another_configuration_than_most(digests: str, others: str) -> None:
    rows = [row(str(n), digest=each.strip("-")) for n, each in enumerate(digests)]

    assert having_another_configuration(rows) == {(number, "outbound") for number in others}


def test_relays_that_are_gone_are_no_majority_and_legs_are_compared_apart() -> None:
    gone = [row(f"old{n}", digest="old", is_silent=True) for n in range(5)]
    rows = [*gone, row("a", digest="new"), row("a", leg="return", digest="other")]

    assert having_another_configuration(rows) == {(f"old{n}", "outbound") for n in range(5)}
    page = page_of(relays=rows)
    assert [each.configuration for each in page.relays] == ["not that of most relays"] * 5 + [
        ""
    ] * 2
    assert rendered(page).count("not that of most relays</span>") == 5


def test_hostile_texts_are_shown_and_not_executed() -> None:
    hostile = SavedFinding(ATTACK, Severity.ERROR, ATTACK, ATTACK, ATTACK)
    said = replace(
        report(SavedTopic(ATTACK, (hostile,), (ATTACK,), (ATTACK,), (ATTACK,)), status=1),
        relay=ATTACK,
    )
    evil = row(ATTACK, leg=ATTACK, version=ATTACK, digest=ATTACK)

    text = rendered(page_of(said, [evil]))

    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 13
    assert "alert('" not in text


def test_what_is_english_is_marked_and_the_page_around_it_is_translated() -> None:
    texts = load_texts(Language.DA)

    text = rendered(page_of(BAD, [row(), SILENT], texts), Language.DA)

    assert "Sidste livstegn" in text
    assert "for 12 minutter siden" in text
    assert '<div lang="en">\n<p>it has no address</p>' in text
    assert "Last sign" not in text


def test_every_badge_has_a_word_beside_its_colour() -> None:
    text = rendered(page_of(BAD, [row(), SILENT]))

    for part in text.split('<span class="state state-')[1:]:
        assert part.partition(">")[2].partition("<")[0].strip()


def test_the_same_for_programs() -> None:
    found = relays_json(BAD, [row(), SILENT], NOW)

    assert json.loads(json.dumps(found)) == found
    doctor = found["doctor"]
    assert (doctor["verdict"], doctor["stale"], doctor["age"]) == ("failure", False, 720)
    assert [each["verdict"] for each in doctor["topics"]] == ["ok", "failure"]
    assert doctor["topics"][1]["findings"][0]["fix"] == "one\n  two"
    assert [(each["relay"], each["silent"]) for each in found["relays"]] == [
        ("a.example", False),
        ("z.example", True),
    ]
    assert found["relays"][0]["last_seen"] == "2026-09-21T14:12:50Z"
    assert (found["doctor_problem"], found["relays_problem"]) == (None, None)


def test_what_is_not_known_is_null_for_programs_and_not_empty() -> None:
    problem = ReportProblem(ReportTrouble.ABSENT, "/x")

    found = relays_json(problem, NoRelays(Obstacle.BUSY, "closed"), NOW)

    assert (found["doctor"], found["relays"]) == (None, None)
    assert found["doctor_problem"] == {"reason": "absent", "text": "/x"}
    assert found["relays_problem"] == {"reason": "busy", "text": "closed"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "less than a minute ago"),
        (59.9, "less than a minute ago"),
        (60.0, "1 minute ago"),
        (3599.0, "59 minutes ago"),
        (3600.0, "1 hour ago"),
        (2 * DAY - 1, "47 hours ago"),
        (2 * DAY, "2 days ago"),
        (2000 * DAY, "2,000 days ago"),
    ],
)
def test_how_long_ago_it_was(seconds: float, said: str) -> None:
    assert ago(ENGLISH, seconds) == said


def test_a_time_that_no_calendar_has_is_no_time() -> None:
    assert instant(NOW) == "2026-09-21T14:13:20Z"
    assert instant(1e15) == instant(float("inf")) == instant(float("nan")) == ""
