"""The pages of a domain, rendered: what they say, whatever DNS and the ledger have in them."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from alignd.advice.report_request import ReportRequest, advise_reports
from alignd.languages.language import Language
from alignd.ledger.answer import Finding
from alignd.ledger.event import EventKind
from alignd.ledger.queries.history import DayCount, History, PastEvent
from alignd.letter.hosting import Hosting
from alignd.letter.hosts import HOSTS
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import ChangeField
from alignd.resolver.zone import Zone
from alignd.web.desk.examined import (
    ApplyLink,
    CheckProblem,
    Examined,
    Invitation,
    NoLink,
    Records,
    Trouble,
    WhyNoLink,
)
from alignd.web.listing import UNKNOWN
from alignd.web.views.domain import DomainPage, domain_page
from alignd.web.views.events import Notice, Tone
from alignd.web.views.letter import letter_page
from alignd.web.views.parts.past import DEFAULT_PERIOD, MAX_EVENTS, PERIODS, period_of
from alignd.web.views.share import SharePage, share_page
from tests.lab.cast import NOTIFICATIONS, VIA
from tests.support.languages import TEXTS
from tests.support.web_pages import DAY, NOW, SUFFIXES, Page, examined, history, render, row

EN = TEXTS[Language.EN]
NAME = "mycompany.com"
LONGEST = ".".join(["a" * 60, "b" * 63, "c" * 63, "d" * 56, "example"])
LONG = LONGEST[20:]
UNLISTED = f'{NAME}. TXT "v=spf1 -all"\n'
ALIAS = f"{NAME}. CNAME somewhere.example.\n"
SCRIPT = "\"'><script>alert(1)</script>"
HOSTILE = (
    f'{NAME}. TXT "v=spf1 include:<script>alert(1)</script> ip4:198.51.100.1 -all"\n'
    f'_dmarc.{NAME}. TXT "v=DMARC1; p=reject; rua=<script>alert(1)</script>"\n'
)
REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")
PASSED = Finding("pass", "spf-aligned", "reject", "pass", "none")
TODAY = int(NOW) // DAY * DAY
HOSTS_BY_NAME = {host.name: host for host in HOSTS}


def story(domain: str = NAME, tenant: str = "") -> History:
    """A domain that was rewritten until yesterday, with an event of each kind."""
    kinds = [*(kind.value for kind in EventKind), "of-a-later-alignd"]
    return history(
        domain,
        [row(domain, REWRITTEN, tenant=tenant, messages=4321, rewritten=1234)],
        [
            DayCount(TODAY, tenant, "pass", "spf-aligned", 7),
            DayCount(TODAY - DAY, tenant, "rewrite", "relay-not-authorised", 1234),
            DayCount(TODAY - DAY, tenant, "skip", "client-not-in-scope", 99_999),
            DayCount(TODAY - DAY, tenant, "refuse", "too-many-fields", 55_555),
            DayCount(TODAY - 80 * DAY, tenant, "envelope", "envelope-aligned", 8),
        ],
        [PastEvent(NOW - place * DAY, tenant, kind, {}, {}) for place, kind in enumerate(kinds)],
    )


PASSING = examined(f'{NAME}. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n')
BY_SPF = examined(f'{NAME}. TXT "v=spf1 ip4:198.51.100.1 -all"\n')
FOUND: dict[str, Examined | CheckProblem] = {
    "pass": PASSING,
    "spf-and-dkim": BY_SPF,
    "dkim-alone": examined(ALIAS),
    "nothing-helps": examined(ALIAS, changes=""),
    "unknown": examined(f"; SERVFAIL {NAME}\n; SERVFAIL _dmarc.{NAME}\n"),
    "freemail": examined("", "gmail.com"),
    "hostile": examined(
        HOSTILE,
        records=(
            Records(NAME, (SCRIPT.encode(), b"\x00\xff\x1b[2J")),
            Records(f"_dmarc.{NAME}", None),
            Records(f"easy1._domainkey.{NAME}", (), SCRIPT),
            Records(f"x._domainkey.{NAME}", ()),
        ),
        link=ApplyLink("https://dns.example/apply?a=1&sig=x", SCRIPT),
    ),
    "idn": examined("", "münchen.example"),
    "long": examined("", LONG),
    "dry-run": examined("", changes="[rules]\ndry_run = true\n"),
    "hosted": examined(
        "", hosting=Hosting(Domain(NAME), ("ns1.ionos.example",), HOSTS_BY_NAME["IONOS"])
    ),
    "no-link": examined("", link=NoLink(WhyNoLink.UNSUPPORTED, "internal detail")),
    "problem": CheckProblem(Trouble.TIMEOUT, "internal detail"),
    "problem-with-evidence": CheckProblem(Trouble.DNS, found=BY_SPF),
}
HISTORIES: dict[str, Callable[[str], History | None]] = {
    "story": story,
    "never-seen": history,
    "no-ledger": lambda _: None,
}


def domain_of(found: Examined | CheckProblem) -> Domain:
    return found.domain if isinstance(found, Examined) else Domain(NAME)


def made(
    found: Examined | CheckProblem,
    past: History | None = None,
    language: Language = Language.EN,
    notice: Notice | None = None,
) -> DomainPage:
    texts, domain = TEXTS[language], domain_of(found)
    return domain_page(domain, found, past, texts, days=90, now=NOW, notice=notice)


def shared(
    found: Examined | CheckProblem,
    past: History | None = None,
    language: Language = Language.EN,
    tenant: str = "",
) -> SharePage:
    texts, domain = TEXTS[language], domain_of(found)
    return share_page(domain, tenant, found, past, texts, days=90, now=NOW, ends=NOW + DAY)


def shown(page: DomainPage, language: Language = Language.EN) -> Page:
    return Page(render("domain.html", language, page=page))


def shown_to_admin(page: SharePage, language: Language = Language.EN) -> Page:
    return Page(render("share.html", language, page=page, token="t0k3n"))


def well_made(page: Page) -> None:
    """What holds of every page: nothing is run or styled in place, and readers find their way."""
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    for name, attributes in page.elements:
        assert name not in {"script", "style", "iframe", "object", "embed"}
        assert not [each for each in attributes if each.startswith("on") or each == "style"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for attribute in ("aria-labelledby", "data-copy", "for"):
        named = [each[attribute].split() for _, each in page.elements if attribute in each]
        assert {name for names in named for name in names} <= set(ids)
    assert len(page.names("caption")) == len(page.names("table"))
    assert all("scope" in each for each in page.names("th"))
    assert all(each.get("hidden") == "" for each in page.names("button") if "data-copy" in each)
    assert "None" not in page.text
    assert "{" not in page.text.replace("{ domain =", "")


@pytest.mark.parametrize("past", HISTORIES)
@pytest.mark.parametrize("name", FOUND)
def test_every_page_is_well_made_in_every_language(name: str, past: str) -> None:
    found = FOUND[name]
    seen = HISTORIES[past](domain_of(found).name)
    for language in Language:
        well_made(shown(made(found, seen, language), language))
        well_made(shown_to_admin(shared(found, seen, language), language))


def test_what_is_copied_is_the_record_that_is_advised() -> None:
    for found in FOUND.values():
        if not isinstance(found, Examined):
            continue
        pages = [shown(made(found)), shown_to_admin(shared(found))]
        for page in pages:
            for number, alternative in enumerate(found.advice.alternatives, start=1):
                publication = alternative.publication
                assert page.by_id[f"record-{number}"] == publication.value
                assert page.by_id[f"record-{number}-name"] == publication.name


def test_what_is_new_in_a_record_is_marked() -> None:
    spf, dkim = made(BY_SPF).findings.records
    first, *_ = made(FOUND["idn"]).findings.records

    assert [each.text for each in spf.pieces if each.is_new] == ["include:spf.mailing.easy.cz"]
    for record in (dkim, first):  # which replace nothing
        assert not [each for each in record.pieces if each.is_new]
        assert "".join(each.text for each in record.pieces) == record.value


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("pass", "pass", "Mail of mycompany.com goes out from the agents' own addresses. The SPF"),
        ("pass", "pass", "Nothing has to be published: the mail passes as it is."),
        ("pass", "pass", "Nothing is changed."),
        ("spf-and-dkim", "rewrite", "goes out from our own address, with the agents' names."),
        ("spf-and-dkim", "rewrite", "1. TXT record of mycompany.com"),
        ("spf-and-dkim", "rewrite", "2. CNAME record of easy1._domainkey.mycompany.com"),
        ("spf-and-dkim", "rewrite", "Checked: mail would pass."),
        ("spf-and-dkim", "rewrite", "SPF record: 0 before, 1 after; 10 are allowed."),
        ("spf-and-dkim", "rewrite", "It takes the place of this record. Change that one"),
        ("spf-and-dkim", "rewrite", "The SPF record of mycompany.com forbids mail from 192.0.2"),
        ("dkim-alone", "rewrite", "1. CNAME record of easy1._domainkey.mycompany.com"),
        ("nothing-helps", "rewrite", "No record would help as things are."),
        ("nothing-helps", "rewrite", "is an alias (CNAME) of somewhere.example"),
        ("unknown", UNKNOWN, "DNS did not answer everything, so nobody can say yet which record"),
        ("unknown", UNKNOWN, "DNS did not answer what the SPF record of mycompany.com says of 1"),
        ("freemail", "rewrite", "The agents need addresses at a domain of their own company."),
        ("idn", "rewrite", "xn--mnchen-3ya.example has no SPF record"),
        ("dry-run", "rewrite", "since alignd is only being tried out (dry run)"),
        ("hosted", "rewrite", "The DNS of mycompany.com is at IONOS"),
        ("no-link", "rewrite", "no way to publish our record with one click."),
        (
            "problem",
            UNKNOWN,
            "Nobody can say now what happens to mail of mycompany.com. DNS takes",
        ),
        ("problem-with-evidence", UNKNOWN, "forbids mail from 2001:db8::25"),
        ("hostile", "rewrite", "DNS did not answer what is published at _dmarc.mycompany.com."),
        ("hostile", "rewrite", "There is no such record at x._domainkey.mycompany.com."),
    ],
)
def test_a_page_says_what_is_so(name: str, state: str, said: str) -> None:
    page = made(FOUND[name])

    assert page.state == state
    assert said in shown(page).text


def test_the_longest_name_is_shown_though_no_mail_can_come_from_it() -> None:
    assert len(LONGEST) == 253
    found, domain = CheckProblem(Trouble.NO_AUTHOR), Domain.parse(LONGEST)
    page = shown(domain_page(domain, found, story(LONGEST), EN, days=90, now=NOW))

    well_made(page)
    assert "No mail can come from such a name." in page.text


@pytest.mark.parametrize("name", ["unknown", "problem"])
def test_unknown_is_never_shown_as_absent(name: str) -> None:
    for text in (shown(made(FOUND[name])).text, shown_to_admin(shared(FOUND[name])).text):
        assert "has no SPF record" not in text
        assert "has no DMARC record" not in text
        assert "There is no such record" not in text
        assert "No record would help" not in text


def test_where_dns_did_not_answer_there_is_evidence_and_no_verdict() -> None:
    findings = made(FOUND["problem-with-evidence"]).findings

    assert findings.checks
    assert not findings.records
    assert findings.example is None


def test_the_from_of_the_example_is_that_of_the_mail_path() -> None:
    example = made(BY_SPF).findings.example
    assert example is not None
    edits = BY_SPF.advice.judgement.planned.header
    (new_from,) = [each.value for each in edits if isinstance(each, ChangeField)]

    assert example.before == f'"Marky Mark" <marky.mark@{NAME}>'
    assert (
        example.after == '"Marky Mark via Easy Helpdesk" <helpdesk@notifications.easysoftware.com>'
    )
    assert example.after == f'"Marky Mark {VIA}" <{NOTIFICATIONS}>'
    assert example.after.rpartition(" <")[2] == new_from.rpartition(" <")[2]
    assert example.reply_to == example.before


@pytest.mark.parametrize("name", ["pass", "dry-run"])
def test_where_nothing_is_changed_the_example_is_the_same(name: str) -> None:
    example = made(FOUND[name]).findings.example

    assert example is not None
    assert not example.is_changed


def test_a_hostile_record_is_shown_and_never_markup() -> None:
    share = shared(FOUND["hostile"], hostile_story(), tenant=SCRIPT)
    for html in (
        render("domain.html", page=made(FOUND["hostile"], hostile_story())),
        render("share.html", page=share, token="t0k3n"),
    ):
        assert "<script" not in html
        assert "alert(1)" in Page(html).text
        assert "\x1b" not in html
        assert "\x00" not in html


def hostile_story() -> History:
    events = [
        PastEvent(NOW, SCRIPT, SCRIPT, {"relay": SCRIPT}, {"tenant": SCRIPT, "policy": SCRIPT}),
        *(
            PastEvent(NOW, SCRIPT, kind.value, {"relay": SCRIPT}, {"tenant": SCRIPT})
            for kind in EventKind
        ),
    ]
    return history(NAME, [row(NAME, Finding(SCRIPT, SCRIPT), tenant=SCRIPT)], [], events)


def test_the_apply_link_is_a_button_where_there_is_one() -> None:
    links = [each["href"] for each in shown(made(FOUND["hostile"])).names("a")]
    without = [each["href"] for each in shown(made(BY_SPF)).names("a")]

    assert "https://dns.example/apply?a=1&sig=x" in links
    assert not [each for each in without if "apply" in each]


def test_a_dns_host_that_calls_itself_by_a_known_name_is_shown_with_where_its_link_leads() -> None:
    found = examined(ALIAS, link=ApplyLink("https://dns.example/apply?sig=x", "GoDaddy"))

    assert made(found).findings.apply_host == "GoDaddy (dns.example)"
    assert shared(found).findings.apply_host == "GoDaddy (dns.example)"


def test_a_domain_that_the_ledger_has_never_seen_is_shown_with_its_advice() -> None:
    text = shown(made(BY_SPF, history(NAME))).text

    assert "No mail of this domain has been seen yet." in text
    assert "1. TXT record of mycompany.com" in text


def test_where_the_ledger_does_not_answer_that_is_said() -> None:
    text = shown(made(BY_SPF, None)).text

    assert "The history cannot be read now" in text
    assert "has been seen" not in text


def test_a_state_is_dated_where_the_ledger_says_the_same() -> None:
    rewritten, passed = row(NAME, REWRITTEN), row(NAME, PASSED, tenant="easy")

    assert made(BY_SPF, history(NAME, [rewritten])).since == "11 June 2026"
    assert made(PASSING, history(NAME, [rewritten])).since == ""
    assert made(BY_SPF, history(NAME, [rewritten, passed])).since == ""
    assert made(BY_SPF, history(NAME)).since == ""


def test_the_table_has_the_numbers_of_the_chart_and_the_events_their_marks() -> None:
    past = made(BY_SPF, story()).past
    assert past is not None

    assert [(each.date, each.passed, each.rewritten) for each in past.rows] == [
        ("1 July 2026", "7", "0"),
        ("30 June 2026", "0", "1,234"),
        ("12 April 2026", "8", "0"),
    ]
    numbers = [event.number for event in past.events]
    assert numbers == list(range(len(past.events), 0, -1))
    assert past.svg.count("chart-mark") == len(past.events)


def test_what_was_skipped_or_refused_has_not_passed() -> None:
    text = shown(made(BY_SPF, story())).text

    assert "99,999" not in text
    assert "55,555" not in text


def test_of_countless_events_the_newest_are_told() -> None:
    events = [PastEvent(NOW - place, "", "began", {}, {}) for place in range(5000)]
    past = made(BY_SPF, history(NAME, events=events)).past

    assert past is not None
    assert len(past.events) == MAX_EVENTS


@pytest.mark.parametrize(
    ("text", "days"),
    [("30", 30), ("365", 365), ("", 90), ("31", 90), ("9" * 99, 90), ("-30", 90), ("<b>", 90)],
)
def test_a_period_is_one_of_those_that_there_are(text: str, days: int) -> None:
    assert period_of(text) == days
    assert DEFAULT_PERIOD in PERIODS


def test_what_a_check_found_stands_above() -> None:
    notice = Notice(Tone.GOOD, "Looked at.", ("A change <b>.",))
    page = shown(made(BY_SPF, notice=notice))

    assert "Looked at. A change <b>." in page.text
    assert {"class": "notice notice-good", "role": "status"} in page.names("div")


def test_the_check_works_without_a_script() -> None:
    domain, share = shown(made(BY_SPF)), shown_to_admin(shared(BY_SPF))

    for page, action in ((domain, f"/domains/{NAME}/check"), (share, "/t0k3n/check")):
        (form,) = page.names("form")
        assert (form["method"], form["action"], form["class"]) == ("post", action, "check")
        assert {"type": "hidden", "name": "token", "value": "t0ken"} in page.names("input")


# What must not be on the page of a link, wherever it stands in what is known.
OTHER, OURS = "othertenant", "easytenant"
SECRETS = {
    OTHER: "another tenant",
    "77,777": "its messages",
    "66,666": "those of them that were rewritten",
    "smtp1secret": "a relay",
    "smtp2.easyredmine.com": "the relay",
    "bounces@": "another envelope sender of ours",
    "dkim.signs": "what the operator has to add",
    "rules.": "a list of the configuration",
    "relay.spf_include": "what the configuration lacks",
    "10.9.8.7": "whom our resolver asked",
    "internal detail": "what is for operators",
    "/domains": "the list",
}


def of_two_tenants() -> History:
    states = [
        row(NAME, PASSED, tenant=OTHER, messages=77_777, rewritten=66_666),
        row(NAME, REWRITTEN, tenant=OURS, messages=4321, rewritten=1234),
    ]
    days = [
        DayCount(TODAY, OTHER, "rewrite", "always", 66_666),
        DayCount(TODAY, OTHER, "pass", "spf-aligned", 77_777),
        DayCount(TODAY, OURS, "rewrite", "relay-not-authorised", 1234),
    ]
    events = [
        PastEvent(NOW - DAY, tenant, kind.value, {"relay": "smtp1secret", "tenants": [OTHER]},
                  {"tenant": OTHER, "reason": "always", "relay": "smtp1secret"})
        for kind in EventKind
        for tenant in (OTHER, OURS)
    ]  # fmt: skip
    return history(NAME, states, days, events)


def all_that_an_admin_sees(found: Examined | CheckProblem) -> str:
    page = shared(found, of_two_tenants(), tenant=OURS)
    return render("share.html", page=page, token="t0k3n")


@pytest.mark.parametrize("changes", [None, "[rules]\nalways = [\"mycompany.com\"]\n",
                                     "[rules]\nexempt = [\"mycompany.com\"]\n"],
                         ids=["advice", "always", "exempt"])  # fmt: skip
def test_a_link_tells_nothing_of_others(changes: str | None) -> None:
    found = BY_SPF if changes is None else examined(UNLISTED, changes=changes)
    problem = CheckProblem(Trouble.DNS, "asked 10.9.8.7: internal detail", found=found)
    no_link = replace(found, domain_connect=NoLink(WhyNoLink.UNKNOWN, "internal detail"))
    without_record = examined(ALIAS, changes="")
    everything: tuple[Examined | CheckProblem, ...] = (found, problem, no_link, without_record)
    for html in map(all_that_an_admin_sees, everything):
        assert not {secret for secret in SECRETS if secret in html}


def test_what_supporters_see_has_what_is_kept_from_admins() -> None:
    """So that the test above would find it."""
    html = render("domain.html", page=made(BY_SPF, of_two_tenants()))

    assert {OTHER, "77,777", "66,666", "smtp1secret", "dkim.signs", "/domains"} <= {
        secret for secret in SECRETS if secret in html
    }


def test_a_link_tells_the_tenants_own_numbers_and_events() -> None:
    page = shown_to_admin(shared(BY_SPF, of_two_tenants(), tenant=OURS))

    assert "In the last 30 days: 4,321 messages, 1,234 of them rewritten." in page.text
    assert page.text.count("Mail of mycompany.com began to be rewritten.") == 2  # and in the chart
    assert "A second tenant" not in page.text
    assert "until 2 July 2026." in page.text


def test_a_tenant_without_mail_sees_none() -> None:
    page = shown_to_admin(shared(BY_SPF, of_two_tenants(), tenant="nobody"))

    assert "No mail of this domain has been seen yet." in page.text


def test_our_resolver_s_troubles_are_for_supporters() -> None:
    found = FOUND["unknown"]
    evidence = [check.rows for check in made(found).findings.checks]
    public = [check.rows for check in shared(found).findings.checks]

    assert any(each.evidence for rows in evidence for each in rows)
    assert not any(each.evidence for rows in public for each in rows)


def lettered(found: Examined | CheckProblem, number: int = 1, **values: Any) -> Page:
    page = letter_page(
        NAME, found, EN, TEXTS[Language.DA], tuple(Language), number=number, **values
    )
    html = render("letter.html", page=page)
    return Page(html)


@pytest.mark.parametrize("number", [1, 2])
def test_the_letter_can_be_copied_and_opened(number: int) -> None:
    invitation = Invitation("https://alignd.example/abc", "aafzak5m2qgx7tne", NOW)
    page = lettered(BY_SPF, number, invitation=invitation)

    well_made(page)
    assert page.by_id["letter-text"].startswith("Hej")
    assert "https://alignd.example/abc" in page.by_id["letter-text"]
    assert page.by_id["letter-link"] == "https://alignd.example/abc"
    assert page.by_id["letter-html"].startswith("<!DOCTYPE html>")
    assert BY_SPF.advice.alternatives[number - 1].publication.value in page.by_id["letter-text"]
    assert any(each["href"].startswith("mailto:?subject=") for each in page.names("a"))
    chosen = [each["value"] for each in page.names("option") if "selected" in each]
    assert chosen == ["da", str(number)]


def test_the_letter_offers_the_record_that_asks_for_reports() -> None:
    zone = Zone.parse('_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n')
    wanted = advise_reports(
        *(Domain(NAME), Mailbox.from_address("dmarc@mycompany.com"), zone, SUFFIXES)
    )
    assert isinstance(wanted, ReportRequest)
    record = "v=DMARC1; p=reject; rua=mailto:dmarc@mycompany.com"

    with_it = lettered(replace(BY_SPF, reports=wanted)).by_id["letter-text"]

    assert record in with_it
    assert record not in lettered(BY_SPF).by_id["letter-text"]


@pytest.mark.parametrize(
    ("found", "number", "said"),
    [
        (PASSING, 1, "the mail passes as it is."),
        (BY_SPF, 3, "There is no such record to choose."),
        (BY_SPF, 0, "There is no such record to choose."),
        (FOUND["freemail"], 1, "belongs to a mailbox provider."),
        (FOUND["unknown"], 1, "DNS did not answer everything"),
        (FOUND["problem"], 1, "DNS takes too long to answer."),
    ],
    ids=["passes", "no-such", "nought", "freemail", "unknown", "problem"],
)
def test_where_there_is_no_letter_it_says_why(
    found: Examined | CheckProblem, number: int, said: str
) -> None:
    page = lettered(found, number)

    well_made(page)
    assert said in page.text
    assert "letter-text" not in page.by_id


def test_that_one_of_two_mechanisms_fails_is_no_fault_where_the_other_suffices() -> None:
    assert [check.tone for check in made(PASSING).findings.checks] == ["good", "info", "good"]
    assert [check.tone for check in made(BY_SPF).findings.checks] == ["bad", "bad", "bad"]
