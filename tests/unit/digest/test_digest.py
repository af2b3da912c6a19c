"""The digest of a week: its numbers, its changes, in every language, of a bounded length."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser

import pytest

from alignd.digest.digest import MAX_LISTED, Digest, digest
from alignd.digest.facts import Facts, most_rewritten
from alignd.digest.message import Addressed, as_message
from alignd.digest.sentences import say_change
from alignd.digest.summary import TOLD, Numbers, summarise
from alignd.digest.week import Week
from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language
from alignd.ledger.answer import NO_DOMAIN, OTHER, Finding
from alignd.ledger.event import EventKind
from alignd.ledger.queries.events import MAX_EVENTS, DomainEvent
from alignd.ledger.queries.overview import DomainRow
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.queries.traffic import Traffic
from alignd.mail.mailbox import Mailbox

DAY = 86_400
NOW = 1_782_900_000.0
"""2026-07-01, 10:00 UTC."""
TODAY = int(NOW) // DAY * DAY
WEEK = Week.ended(NOW)
QUIET = Facts(WEEK, None)
ENGLISH = load_texts(Language.EN)
OPS = Mailbox.from_address("ops@easysoftware.com")
SENDER = Mailbox.from_address("alignd@notifications.easysoftware.com")
PAGE = "https://alignd.example"
MAX_LINE = 998
"""Octets of a line without its end (RFC 5322, section 2.1.1)."""


def event(kind: EventKind, domain: str, at: float = WEEK.since, **more: object) -> DomainEvent:
    found = DomainEvent(at, "", domain, kind.value, {}, {}, "smtp1")
    return replace(found, **more)  # type: ignore[arg-type]


def state(domain: str, reason: str, messages: int = 1, action: str = "rewrite") -> DomainRow:
    row = DomainRow("", domain, Finding(action, reason), NOW, NOW, NOW, NOW, 0.0)
    return replace(row, by_day=(messages,))


def relay(name: str, leg: str = "outbound", *, silent: bool = True) -> RelayRow:
    return RelayRow(name, leg, NOW, NOW - 3 * DAY, "1.0", "", False, silent, 0)


def written(facts: Facts, page: str = "", language: Language = Language.EN) -> Digest:
    return digest(facts, load_texts(language), page)


def unfolded(text: str) -> str:
    return " ".join(text.split())


BUSY = replace(
    QUIET,
    traffic=(
        Traffic("", "mycompany.com", 60, 60),
        Traffic("easy", "mycompany.com", 40, 30),
        Traffic("", "gmail.com", 30, 30),
        Traffic("", "good.example", 1000, 0),
        Traffic("", OTHER, 70, 60),
        Traffic("", NO_DOMAIN, 5, 5),
    ),
    traffic_before=(Traffic("", "good.example", 900, 0), Traffic("", "old.example", 2, 1)),
    states=(
        state("mycompany.com", "relay-not-authorised", 100),
        state("mycompany.com", "dns-unknown", 3),
        state("gmail.com", "freemail"),
    ),
    events=(
        *(event(kind, f"{kind.value}.example", tenant="easy") for kind in TOLD),
        event(EventKind.KNOWN, "known.example"),
        event(EventKind.SILENT_RELAY, ""),
        replace(event(EventKind.BEGAN, "later.example"), kind="a-later-kind"),
    ),
    relays=(relay("smtp1"), relay("smtp2", "return"), relay("smtp3", silent=False)),
)


@pytest.mark.parametrize(
    ("now", "weeks_ago", "since"),
    [
        pytest.param(NOW, 0, TODAY - 7 * DAY, id="the-day-that-runs-is-not-in-it"),
        pytest.param(TODAY, 0, TODAY - 7 * DAY, id="at-midnight-yesterday-is"),
        pytest.param(TODAY - 1, 0, TODAY - 8 * DAY, id="a-second-before-it-is-not"),
        pytest.param(NOW, 3, TODAY - 28 * DAY, id="three-weeks-ago"),
    ],
)
def test_a_week_is_seven_whole_days(now: float, weeks_ago: int, since: float) -> None:
    week = Week.ended(now, weeks_ago)

    assert (week.since, week.until) == (since, since + 7 * DAY)
    assert (week.before.until, week.last_day) == (week.since, since + 6 * DAY)
    assert week.before == Week.ended(now, weeks_ago + 1)


@pytest.mark.parametrize(
    ("messages", "rewritten", "percent"),
    [
        pytest.param(0, 0, 0, id="no-mail"),
        pytest.param(10, 0, 0, id="none"),
        pytest.param(100_000, 1, 1, id="one-of-many-is-not-none"),
        pytest.param(100_000, 99_999, 99, id="all-but-one-are-not-all"),
        pytest.param(200, 101, 50, id="half"),
        pytest.param(10, 10, 100, id="all"),
    ],
)
def test_a_part_is_told_in_whole_percents(messages: int, rewritten: int, percent: int) -> None:
    assert Numbers(messages, rewritten, 1).percent == percent


def test_the_numbers_are_those_of_both_weeks() -> None:
    summary = summarise(BUSY)

    assert summary.numbers == Numbers(1205, 185, 3)
    assert summary.before == Numbers(902, 1, 2)


def test_each_change_is_told_and_nothing_else() -> None:
    summary = summarise(BUSY)

    assert list(summary.changes) == list(TOLD)
    for kind, changes in summary.changes.items():
        assert [change.domain for change in changes] == [f"{kind.value}.example"]
    assert set(EventKind) - set(TOLD) == {
        *(EventKind.KNOWN, EventKind.SILENT_RELAY, EventKind.HEARD_RELAY)
    }


def test_a_domain_is_counted_once_and_the_busiest_comes_first() -> None:
    events = (
        event(EventKind.BEGAN, "quiet.example", WEEK.since + 3),
        event(EventKind.BEGAN, "mycompany.com", WEEK.since + 2),
        event(EventKind.BEGAN, "mycompany.com", WEEK.since + 1),
        event(EventKind.ANOTHER_TENANT, "mycompany.com", now={"tenant": "a"}, tenant="a"),
        event(EventKind.ANOTHER_TENANT, "mycompany.com", now={"tenant": "b"}, tenant="b"),
    )
    changes = summarise(replace(BUSY, events=events)).changes

    began, tenants = changes[EventKind.BEGAN], changes[EventKind.ANOTHER_TENANT]
    assert [(each.domain, each.at - WEEK.since) for each in began] == [
        ("mycompany.com", 2),
        ("quiet.example", 3),
    ]
    assert [each.tenant for each in tenants] == ["a", "b"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        pytest.param(
            {"kind": "lost", "receiver": "google.com"}, "a.example: refused by google.com", id="by"
        ),
        pytest.param({}, "a.example", id="of-a-later-alignd"),
    ],
)
def test_who_refuses_mail_is_named(now: dict[str, str], said: str) -> None:
    change = event(EventKind.REJECTED, "a.example", now=now)
    (found,) = summarise(replace(QUIET, events=(change,))).changes[EventKind.REJECTED]

    assert say_change(EventKind.REJECTED, found, ENGLISH) == said


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        pytest.param("none", "reject", "a.example: reject, and none before", id="stricter"),
        pytest.param("absent", "none", "a.example: none, and no policy before", id="a-first-one"),
        pytest.param("reject", "absent", "a.example: no policy, and reject before", id="gone"),
    ],
)
def test_a_policy_is_told_with_the_one_before(was: str, now: str, said: str) -> None:
    change = event(EventKind.POLICY, "a.example", was={"policy": was}, now={"policy": now})

    assert f"- {said}\n" in written(replace(QUIET, events=(change,))).text


@pytest.mark.parametrize(
    ("states", "said"),
    [
        pytest.param((), "It is not rewritten any more.", id="passes-now"),
        pytest.param(
            (state("a.example", "spf-aligned", 9, "pass"),),
            "not rewritten any more",
            id="the-same",
        ),
        pytest.param(
            (state("a.example", "relay-not-authorised"),), "A record in its DNS", id="a-record"
        ),
        pytest.param((state("a.example", "freemail"),), "no record helps", id="a-provider"),
        pytest.param((state("a.example", "always"),), "(rules.always)", id="the-configuration"),
        pytest.param((state("a.example", "dns-unknown"),), "does not answer", id="unknown"),
        pytest.param(
            (state("a.example", "from-malformed"),), "reason is from-malformed", id="others"
        ),
        pytest.param(
            (state("a.example", "always", 2), state("a.example", "freemail", 3)),
            "no record helps",
            id="of-two-tenants-the-busier-one",
        ),
        pytest.param(
            (state("b.example", "freemail"),), "not rewritten any more", id="another-domain"
        ),
    ],
)
def test_whether_a_record_would_help_is_told(states: tuple[DomainRow, ...], said: str) -> None:
    facts = replace(QUIET, traffic=(Traffic("", "a.example", 2, 1),), states=states)

    text = unfolded(written(facts).text)

    assert f"a.example: 1 message of 2 was rewritten. {''}" in text
    assert said in text


def test_the_most_rewritten_domains_are_ten_and_have_names() -> None:
    traffic = [Traffic("", f"d{number}.example", 99, number) for number in range(30)]

    found = most_rewritten(
        [*traffic, Traffic("", OTHER, 999, 999), Traffic("a", "d3.example", 90, 90)]
    )

    assert found == ["d3.example", *(f"d{number}.example" for number in range(29, 20, -1))]


def test_a_silent_relay_is_told_even_in_a_week_without_mail() -> None:
    made = written(replace(QUIET, relays=BUSY.relays))

    assert "smtp1, for outgoing mail, has written nothing since 28 June 2026." in unfolded(
        made.text
    )
    assert "smtp2, for what comes back, has" in made.text
    assert "smtp3" not in made.text
    assert "Nothing changed." in made.text


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
def test_if_nothing_happened_it_says_so_in_one_sentence(language: Language) -> None:
    made = written(QUIET, PAGE, language)

    assert made.text.count("\n\n") == 0
    assert made.html.count("<p>") == 1
    assert made.summary.is_empty
    if language is Language.EN:
        assert made.subject == "Helpdesk mail until 30 June 2026: nothing happened"


def test_the_subject_has_the_numbers() -> None:
    assert written(BUSY).subject == (
        "Helpdesk mail until 30 June 2026: 1,205 messages, rewritten 15%, began 1, stopped 1"
    )


def test_a_tenant_is_named() -> None:
    assert (
        "mail of the tenant easy from 24 June 2026" in written(replace(BUSY, tenant="easy")).text
    )


def test_domains_lead_to_their_pages_where_there_are_pages() -> None:
    made = written(BUSY, PAGE)

    for domain in ("mycompany.com", "gmail.com", "stopped.example"):
        assert f"{PAGE}/domains/{domain}\n" in made.text
        assert f'href="{PAGE}/domains/{domain}"' in made.html
    assert made.text.endswith(f"{PAGE}\n")
    assert "http" not in written(BUSY).text
    assert "<a " not in written(BUSY).html


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
def test_each_language_says_the_same_of_everything(language: Language) -> None:
    made = written(replace(BUSY, tenant="easy"), PAGE, language)

    for domain in ("mycompany.com", "gmail.com", *(f"{kind.value}.example" for kind in TOLD)):
        assert domain in made.text
        assert domain in made.html
    assert f'<html lang="{language.value}">' in made.html
    if language is not Language.EN:
        sentences = re.compile(r"\b(rewritten|domains?|tenant|week before|messages)\b")
        said = re.sub(r"\S+\.(example|com|always)\S*|`[^`]*`", "", made.text)
        found = set(sentences.findall(said))
        assert found <= ({"domain"} if language is Language.DE else set())


def test_thousands_of_domains_make_a_mail_of_bounded_length() -> None:
    names = [f"{number}.{'x' * 63}.{'y' * 63}.{'z' * 63}.example" for number in range(9000)]
    facts = replace(
        QUIET,
        traffic=tuple(Traffic("", name, 2, 1) for name in names),
        states=tuple(state(name, "relay-not-authorised") for name in names),
        events=tuple(event(kind, name) for kind in TOLD for name in names[:1200]),
        relays=tuple(relay(name[:60]) for name in names),
    )

    made = written(facts, PAGE)

    assert made.text.count(f"- and {1200 - MAX_LISTED:,} more\n") == len(TOLD)
    assert f"- and {9000 - MAX_LISTED:,} more\n" in made.text
    assert "Mail of 1,200 domains began" in made.text
    assert len(made.html) < 250_000
    assert "There were more changes" not in made.text


def test_more_changes_than_are_read_are_told() -> None:
    facts = replace(
        QUIET, events=tuple(event(EventKind.BEGAN, "a.example") for _ in range(MAX_EVENTS))
    )

    assert "There were more changes than are counted here." in written(facts).text


HOSTILE = {
    "markup": "<script>alert(1)</script>.example",
    "an-attribute": '"onmouseover="alert(1).example',
    "lines": "a.example\r\nBcc: victim@b.example\r\n\r\nx",
    "direction": "\u202egro.elpmaxe",
    "nul": "a\x00.example",
    "placeholders": "{n}.{domain}.example",
    "a-path": "../../a?b#c.example",
    "half-a-surrogate": "\ud800.example",
}


class Tags(HTMLParser):
    """The tags of a page, and the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs)}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_shown_and_does_nothing(name: str) -> None:
    facts = replace(
        BUSY,
        tenant=name,
        traffic=(Traffic(name, name, 2, 1),),
        states=(state(name, name),),
        events=tuple(
            event(
                kind, name, tenant=name, was={"policy": name}, now={"policy": name, "tenant": name}
            )
            for kind in TOLD
        ),
        relays=(relay(name),),
    )

    made = written(facts, PAGE)
    message = parsed(as_message(made, Addressed(SENDER, [OPS], NOW), Language.EN))

    assert Tags(made.html).found == Tags(written(BUSY, PAGE).html).found
    assert all(line.isprintable() for line in made.text.split("\n"))
    assert set(message.keys()) == HEADER
    assert "\u202e" not in made.html


HEADER = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language"),
    *("MIME-Version", "Content-Type"),
}


def parsed(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
def test_the_message_is_one_that_every_server_takes(language: Language) -> None:
    made = written(BUSY, PAGE, language)
    recipients = [
        Mailbox.from_address(f"operator-{number}@easysoftware.com") for number in range(50)
    ]

    octets = as_message(made, Addressed(SENDER, recipients, NOW), language)

    assert octets.isascii()
    assert all(len(line) <= MAX_LINE for line in octets.split(b"\r\n"))
    assert octets.count(b"\n") == octets.count(b"\r\n")
    message = parsed(octets)
    assert (set(message.keys()), message.defects) == (HEADER, [])
    assert message["Subject"] == made.subject
    assert message["Date"].datetime.timestamp() == NOW
    assert message["Auto-Submitted"] == "auto-generated"
    assert [each.addr_spec for each in message["From"].addresses] == [SENDER.address]
    assert [each.addr_spec for each in message["To"].addresses] == [
        each.address for each in recipients
    ]
    text, html = message.iter_parts()
    assert text.get_content().replace("\r\n", "\n") == made.text
    assert html.get_content().replace("\r\n", "\n") == made.html


def test_each_message_has_an_id_of_its_own() -> None:
    made = written(BUSY)

    ids = [
        parsed(as_message(made, Addressed(SENDER, [OPS], at), Language.EN))["Message-ID"]
        for at in (NOW, NOW, NOW + 1)
    ]

    assert len(set(ids)) == 2
    for each in ids:
        assert re.fullmatch(r"<\w{20}@notifications\.easysoftware\.com>", each)


def test_a_message_to_nobody_yet_is_a_message() -> None:
    assert "To" not in parsed(as_message(written(BUSY), Addressed(SENDER, [], NOW), Language.EN))
