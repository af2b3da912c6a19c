"""What pages say of what receivers said: of all mail, of one domain, and to who has a link."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from alignd.feedback.disagreement import Kind
from alignd.feedback.patterns import PATTERNS, Says
from alignd.languages.language import Language
from alignd.ledger.answer import Finding
from alignd.ledger.queries.history import History
from alignd.ledger.receivers.rows import (
    PredictedDay,
    Receivers,
    ReplyKey,
    ReportKey,
    Rewriting,
)
from alignd.ledger.window.protocol import Obstacle
from alignd.mail.domain import Domain
from alignd.reports.receivers.disagreements import Cause, Disagreement
from alignd.reports.receivers.disagreements import Kind as ReportKind
from alignd.web.heard import RECENT_DAYS, SPANS, Heard
from alignd.web.views.domain import domain_page
from alignd.web.views.json import domain_page_json
from alignd.web.views.receivers.domain import heard_of_domain, heard_of_tenant
from alignd.web.views.receivers.json import receivers_json
from alignd.web.views.receivers.page import NotHeard, contradiction_of, receivers_page
from alignd.web.views.receivers.replies import MAX_REPLIES, replies_view
from alignd.web.views.receivers.reported import MAX_SHOWN, disagreement_views, percent
from alignd.web.views.share import share_page
from tests.support.languages import TEXTS
from tests.support.web_pages import DAY, NOW, Page, examined, history, render, row

EN = TEXTS[Language.EN]
NAME, OTHER_NAME, OURS = "mycompany.com", "good.example", "notifications.easysoftware.com"
ADDRESS, UNLISTED = "203.0.113.25", "203.0.113.99"
TODAY = int(NOW) // DAY * DAY
YESTERDAY = TODAY - DAY
ATTACK = "<script>alert(1)</script>"
DMARC = next(each.name for each in PATTERNS if each.says is Says.DMARC_FAILED)
EACH_LANGUAGE = pytest.mark.parametrize("language", TEXTS, ids=lambda each: each.value)


def reply(kind: str = "lost", day: int = YESTERDAY, **changes: str) -> ReplyKey:
    words = {"tenant": "", "domain": NAME, "action": "pass", "reason": "spf-aligned"}
    words |= {"receiver": "mail.example", "pattern": DMARC}
    return ReplyKey(day=day, kind=kind, **(words | changes))


def report(
    result: str = "pass", day: int = YESTERDAY, *, is_foretold: bool = False, **changes: str
) -> ReportKey:
    fault = "pass" if result == "pass" else "fail"
    words = {"reporter": "big.example", "origin": "ours", "domain": NAME, "address": ADDRESS}
    words |= {"dkim": "none", "spf": fault, "disposition": "none"}
    return ReportKey(
        first_day=day, last_day=day, result=result, is_foretold=is_foretold, **(words | changes)
    )


def passing(domain: str = NAME, day: int = YESTERDAY, messages: int = 100) -> PredictedDay:
    return PredictedDay(day, domain, "pass", "spf-aligned", messages)


def rewritten(domain: str, day: int = YESTERDAY, messages: int = 40) -> PredictedDay:
    return PredictedDay(day, domain, "rewrite", "relay-not-authorised", messages)


def heard(
    replies: Iterable[tuple[ReplyKey, int]] = (),
    rows: Sequence[tuple[ReportKey, int]] = (),
    days: Iterable[PredictedDay] = (),
    rewriting: Iterable[Rewriting] = (),
) -> Heard:
    receivers = Receivers(
        tuple(replies),
        tuple(rows),
        len(rows),
        float(TODAY) if rows else 0.0,
        tuple(days),
        rewriting=tuple(rewriting),
    )
    return Heard.of(receivers, SPANS[0], NOW - 5, is_dry=False)


NOTHING = heard()
GOOD = heard(rows=[(report(), 1234)], days=[passing()])
LOST = heard(
    [(reply(), 3)],
    [(report(), 97), (report("fail"), 3), (report(reporter="small.example"), 10)],
    [passing()],
)
OUTAGE = heard(
    [(reply("outage", action="rewrite", reason="relay-not-authorised"), 2)],
    [(report("fail", origin="rewritten", domain=OURS), 9)],
    [rewritten(NAME)],
    [Rewriting(NAME, "relay-not-authorised", 40, 4, 0, False)],
)
ELSEWHERE = heard(rows=[(report(origin="unlisted", address=UNLISTED), 7)], days=[passing()])
HOSTILE = heard(
    [(reply(receiver=ATTACK, domain=ATTACK, tenant=ATTACK, pattern=ATTACK), 1)],
    [(report("fail", reporter=ATTACK, domain=ATTACK, address=ATTACK), 1)],
    [passing(ATTACK)],
)
ALL = {"nothing": NOTHING, "good": GOOD, "lost": LOST, "outage": OUTAGE,
       "unlisted": ELSEWHERE, "hostile": HOSTILE}  # fmt: skip


def shown(found: Heard | None, language: Language = Language.EN, **values: Any) -> Page:
    page = receivers_page(found, values.pop("trouble", None), NOW, TEXTS[language])
    return Page(render("receivers.html", language, page=page, here="receivers"))


def of_domain(found: Heard | None, language: Language = Language.EN) -> Page:
    domain, texts = Domain(NAME), TEXTS[language]
    page = domain_page(
        *(domain, examined(""), history(NAME), texts),
        days=30,
        now=NOW,
        heard=heard_of_domain(found, domain, texts),
    )
    return Page(render("domain.html", language, page=page))


def of_link(found: Heard | None, tenant: str = "", *tenants: str) -> Page:
    domain = Domain(NAME)
    finding = Finding("pass", "spf-aligned", "reject", "pass", "none")
    past = history(NAME, [row(NAME, finding, tenant=each) for each in tenants or (tenant,)])
    page = share_page(
        *(domain, tenant, examined(""), past, EN),
        days=30,
        now=NOW,
        ends=NOW + DAY,
        heard=heard_of_tenant(found, domain, tenant, past, EN),
    )
    return Page(render("share.html", page=page, token="t"))


@EACH_LANGUAGE
@pytest.mark.parametrize("found", ALL.values(), ids=ALL)
def test_each_page_can_be_rendered_in_each_language(found: Heard, language: Language) -> None:
    for page in (shown(found, language), of_domain(found, language), of_link(found)):
        assert "script" not in [name for name, _ in page.elements]
        assert page.text


class TestOfAllMail:
    """/receivers."""

    def test_shares_stand_by_receiver_beside_what_was_predicted(self) -> None:
        page = shown(LOST)
        assert "big.example 100 97 3 100% 97%" in page.text
        assert "small.example 10 10 0 100% 100%" in page.text
        assert "3 reports of receivers were read" in page.text

    def test_a_disagreement_has_its_reason_and_what_mends_it(self) -> None:
        text = shown(LOST).text
        assert "3 messages that were to pass failed at big.example." in text
        assert "Other receivers passed such mail on the same days." in text
        assert "See whether all nameservers of the domain have the same record" in text

    def test_precision_has_a_row_for_each_month_with_its_number(self) -> None:
        text = shown(LOST).text
        assert f"{_month(YESTERDAY)} 110 107 97%" in text
        assert "the share that receivers passed" in text

    def test_an_address_that_is_not_listed_is_named(self) -> None:
        page = shown(ELSEWHERE)
        assert f"{UNLISTED} 7" in page.text
        assert "relay.addresses" in page.text

    def test_needless_rewriting_is_called_an_estimate(self) -> None:
        text = shown(OUTAGE).text
        assert "Needless rewriting: an estimate" in text
        assert "Of 40 messages that were rewritten, about 4 would have passed" in text
        assert "Reports cannot tell" in text

    def test_whose_mail_could_stop_being_rewritten_has_a_link_to_the_record(self) -> None:
        page = shown(OUTAGE)
        assert f"{NAME} 40" in page.text
        assert {"href": f"/domains/{NAME}"} in page.names("a")

    def test_without_a_report_it_tells_how_to_begin(self) -> None:
        page = shown(NOTHING)
        assert "No report of a receiver was read yet." in page.text
        assert "docs/reports.md" in page.text
        assert "alignd reports" in page.by_id["begin"]
        assert "precision" not in page.by_id

    def test_without_a_ledger_it_says_why(self) -> None:
        trouble = NotHeard(Obstacle.UNREACHABLE, "nobody there")
        assert "nobody there" in shown(None, trouble=trouble).text
        # What was read before stays.
        assert "big.example" in shown(LOST, trouble=trouble).text

    @pytest.mark.parametrize(
        ("found", "alarms"),
        [
            pytest.param(NOTHING, False, id="nothing"),
            pytest.param(GOOD, False, id="all-passes"),
            pytest.param(LOST, False, id="mail-left-alone"),
            pytest.param(OUTAGE, True, id="replies-and-reports"),
            pytest.param(heard([(reply("outage"), 1)]), True, id="replies"),
            pytest.param(heard(rows=[(report("fail", origin="rewritten", domain=OURS), 1)]), True,
                         id="reports"),
            pytest.param(heard([(reply("outage", TODAY - (RECENT_DAYS + 1) * DAY), 1)]), False,
                         id="long-ago"),
            pytest.param(heard(rows=[(report("fail", TODAY - (RECENT_DAYS + 1) * DAY,
                                             origin="rewritten", domain=OURS), 1)]), False,
                         id="reports-of-long-ago"),
        ],
    )  # fmt: skip
    def test_it_alarms_when_rewritten_mail_fails(self, found: Heard, alarms: bool) -> None:
        page = shown(found)
        assert ("Rewritten mail fails" in page.text) is alarms
        assert receivers_json(found, NOW)["rewritten_fails"] is alarms

    def test_programs_get_all_of_it(self) -> None:
        found = json.loads(json.dumps(receivers_json(LOST, NOW)))
        assert found["replies"][0]["kind"] == "lost"
        assert found["replies"][0]["messages"] == 3
        assert {each["name"]: each["passed"] for each in found["left_alone"]} == {
            "big.example": 97,
            "small.example": 10,
        }
        assert found["disagreements"][0]["cause"] == "receiver-sees-another-record"
        assert found["precision"][0]["messages"] == 110
        assert found["needless_estimate"]["messages"] == 0


class TestOfOneDomain:
    """The section of a domain's page."""

    def test_programs_get_the_same_as_people(self) -> None:
        said = domain_page_json(Domain(NAME), examined(""), None, LOST)
        found = json.loads(json.dumps(said))["receivers"]
        assert (found["reports"], found["days"]) == (3, SPANS[0])
        assert [(each["kind"], each["messages"]) for each in found["replies"]] == [("lost", 3)]
        assert [(each["name"], each["passed"]) for each in found["left_alone"]] == [
            ("big.example", 97),
            ("small.example", 10),
        ]
        assert found["disagreements"][0]["cause"] == "receiver-sees-another-record"

    def test_programs_get_nothing_of_other_domains(self) -> None:
        other = Domain(OTHER_NAME)
        found = domain_page_json(other, examined("", OTHER_NAME), None, LOST)["receivers"]
        assert found["replies"] == found["left_alone"] == found["disagreements"] == []

    def test_it_has_replies_by_receiver_kind_and_day(self) -> None:
        page = of_domain(LOST)
        assert f"{EN.date(YESTERDAY)} mail.example predicted to pass {DMARC} 3" in page.text
        assert "rules.always" in page.text

    def test_it_has_the_share_that_passed_and_the_disagreements(self) -> None:
        text = of_domain(LOST).text
        assert "big.example 100 97 3 100% 97%" in text
        assert "3 messages that were to pass failed at big.example." in text

    def test_it_says_what_the_page_of_all_says_of_a_day_without_mail(self) -> None:
        row = report("fail", YESTERDAY)._replace(last_day=TODAY), 3
        others = PredictedDay(TODAY, "(other)", "pass", "spf-aligned", 9)
        found = heard(rows=[row], days=[passing(), others])
        text = "3 messages that were to pass failed at big.example."
        assert text in shown(found).text
        assert text in of_domain(found).text

    def test_other_domains_are_not_in_it(self) -> None:
        found = heard(
            [(reply(domain=OTHER_NAME, receiver="theirs.example"), 5)],
            [(report("fail", domain=OTHER_NAME, reporter="theirs.example"), 9)],
            [passing(OTHER_NAME)],
        )
        assert "theirs.example" not in of_domain(found).text

    @pytest.mark.parametrize(
        ("found", "line"),
        [
            pytest.param(NOTHING, "No report of a receiver was read yet.", id="no-reports"),
            pytest.param(
                heard(rows=[(report(domain=OTHER_NAME), 1)], days=[passing(OTHER_NAME)]),
                "1 report of receivers was read",
                id="reports-of-others",
            ),
            pytest.param(None, "cannot be read from the ledger now", id="no-ledger"),
        ],
    )
    def test_where_nothing_is_said_one_line_says_whether_reports_are_read(
        self, found: Heard | None, line: str
    ) -> None:
        page = of_domain(found)
        assert line in page.text
        assert "receivers" not in page.by_id


class TestOfALink:
    """What a customer's admin sees."""

    def test_it_has_the_replies_and_reports_of_its_tenant(self) -> None:
        text = of_link(LOST).text
        assert f"{EN.date(YESTERDAY)} mail.example 3" in text
        assert "big.example 100 97 3 100% 97%" in text

    def test_it_tells_nothing_of_the_configuration(self) -> None:
        for found in (LOST, OUTAGE, ELSEWHERE, NOTHING):
            text = of_link(found).text
            for word in ("rules.", "relay.addresses", "predicted", "alignd ", "No report"):
                assert word not in text, word

    def test_replies_to_another_tenant_are_not_in_it(self) -> None:
        found = heard([(reply(tenant="theirs", receiver="theirs.example"), 5)])
        assert "theirs" not in of_link(found, "own", "own", "theirs").text

    @pytest.mark.parametrize(
        "tenants", [("own", "theirs"), ("theirs",)], ids=["another-too", "another"]
    )
    def test_reports_are_left_out_where_another_tenant_sends(self, tenants: list[str]) -> None:
        assert "big.example" in of_link(LOST, "own", "own").text
        assert "big.example" not in of_link(LOST, "own", *tenants).text

    def test_reports_are_left_out_where_it_is_not_known_who_sends(self) -> None:
        for past in (None, History("outbound", NAME, (), (), ())):
            found = heard_of_tenant(LOST, Domain(NAME), "", past, EN)
            assert found is not None
            assert found.left_alone == ()

    def test_mail_that_alignd_did_not_look_at_is_not_in_it(self) -> None:
        found = heard([(reply("outside", receiver="theirs.example"), 5)])
        assert "theirs.example" not in of_link(found).text

    def test_it_has_nothing_where_the_ledger_does_not_answer(self) -> None:
        assert "receivers" not in of_link(None).by_id


class TestTheList:
    """A line above the list."""

    @pytest.mark.parametrize(
        ("found", "says"),
        [
            pytest.param(None, "", id="no-ledger"),
            pytest.param(NOTHING, "", id="nothing"),
            pytest.param(LOST, "refused 3 messages that were to pass", id="lost"),
            pytest.param(OUTAGE, "refused 2 messages", id="outage"),
            pytest.param(heard([(reply("envelope"), 1)]), "refused 1 message ", id="envelope"),
            pytest.param(heard([(reply("foretold"), 1)]), "", id="foretold"),
            pytest.param(heard([(reply("of-a-later-alignd"), 1)]), "", id="of-a-later-alignd"),
            pytest.param(heard([(reply("lost", TODAY - (RECENT_DAYS + 1) * DAY), 1)]), "",
                         id="long-ago"),
        ],
    )  # fmt: skip
    def test_it_says_that_replies_contradict_alignd(self, found: Heard | None, says: str) -> None:
        line = contradiction_of(found, EN, NOW)
        assert says in line
        assert bool(line) is bool(says)


class TestReplies:
    """The table of replies."""

    def test_what_contradicts_alignd_comes_first_and_then_the_newest(self) -> None:
        found = replies_view(
            [
                (reply("foretold", TODAY), 9),
                (reply("lost", YESTERDAY), 1),
                (reply("lost", TODAY), 1),
            ],
            EN,
        )
        assert [(each.badge.word, each.date) for each in found.rows] == [
            ("predicted to pass", EN.date(TODAY)),
            ("predicted to pass", EN.date(YESTERDAY)),
            ("known to fail", EN.date(TODAY)),
        ]

    @EACH_LANGUAGE
    def test_each_kind_has_a_word_and_each_demand_what_meets_it(self, language: Language) -> None:
        replies = [(reply(kind.value), 1) for kind in Kind]
        replies += [(reply("advice", pattern=each.name), 1) for each in PATTERNS]
        found = replies_view(replies, TEXTS[language])
        assert len({each.badge.word for each in found.rows}) == len(Kind)
        assert len(found.fixes) == len(Kind) - 1 + 4

    def test_a_kind_and_a_pattern_of_a_later_alignd_are_shown(self) -> None:
        found = replies_view([(reply("new"), 1), (reply("advice", pattern="new"), 1)], EN)
        assert sorted(each.badge.word for each in found.rows) == [
            "another demand",
            "something else",
        ]
        assert found.fixes == ()

    def test_no_more_rows_are_shown_than_anybody_reads(self) -> None:
        found = replies_view([(reply(receiver=f"r{n}.example"), 1) for n in range(300)], EN)
        assert len(found.rows) == MAX_REPLIES
        assert found.left_out == 300 - MAX_REPLIES


@EACH_LANGUAGE
def test_each_cause_of_a_disagreement_is_said_with_what_mends_it(language: Language) -> None:
    found = [
        Disagreement(kind, cause, NAME, "big.example", ADDRESS, "fail", "fail", 1)
        for kind in ReportKind
        for cause in Cause
    ]
    views = disagreement_views(found, TEXTS[language])
    assert len({each.why for each in views}) == len(Cause)
    assert len({each.fix for each in views}) == len(Cause)
    assert len({each.what for each in views}) == len(ReportKind)


def test_disagreements_without_end_are_cut_and_said_to_be() -> None:
    count = MAX_SHOWN + 20
    rows = [(report("fail", address=f"203.0.113.{n}"), 1) for n in range(count)]
    page = shown(heard(rows=rows, days=[passing()]))
    assert len(page.names("article")) == MAX_SHOWN
    assert "20 more are not shown." in page.text


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(1, 1, "100%"), (9999, 10000, "99%"), (0, 5, "0%"), (2, 3, "66%"), (0.1 + 0.2, 0.3, "100%")],
)
def test_a_share_is_rounded_down(part: float, whole: float, said: str) -> None:
    assert percent(part, whole, EN) == said


def _month(day: int) -> str:
    return receivers_json(LOST, NOW)["precision"][0]["month"] if day == YESTERDAY else ""
