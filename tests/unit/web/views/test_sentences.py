"""Every word that a page meets has a sentence, in every language, and one of the letter's own."""

import re
from importlib.resources import files

import pytest

from alignd.advice.publication import Kind
from alignd.judgement.reasons import Action, Reason
from alignd.languages.language import Language
from alignd.ledger.event import EventKind
from alignd.ledger.queries.history import PastEvent
from alignd.letter.letter import NoLetter
from alignd.letter.reasons import say_reason
from alignd.mail.domain import Domain
from alignd.mail.ip_address import parse_ip_address
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.spf import SpfResult
from alignd.web.desk.examined import (
    Change,
    Checked,
    CheckOutcome,
    CheckProblem,
    DkimChanged,
    PolicyChanged,
    ReasonChanged,
    RecordPublished,
    RecordRemoved,
    SpfChanged,
    TooSoon,
    Trouble,
)
from alignd.web.listing import UNKNOWN
from alignd.web.views.badges import state_badge, state_word
from alignd.web.views.events import (
    MAX_SHOWN,
    Tone,
    check_notice,
    say_change,
    say_event,
    say_trouble,
)
from alignd.web.views.sentences import nothing_to_ask, what_happens, why, why_of_word
from alignd.web.views.times import moment
from tests.support.languages import TEXTS
from tests.support.web_pages import NOW, examined

EN = TEXTS[Language.EN]
NAME = "mycompany.com"
ADDRESS = parse_ip_address("192.0.2.25")
LISTED = f'{NAME}. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
UNLISTED = f'{NAME}. TXT "v=spf1 -all"\n'
SUPPORTERS_ALONE = {
    *(Reason.CLIENT_NOT_IN_SCOPE, Reason.HEADER_NOT_IN_SCOPE, Reason.EXEMPT),
    *(Reason.EXEMPT_ENVELOPE, Reason.ALWAYS, Reason.UNALIGNED, Reason.RECIPIENT_DOMAIN),
    *(Reason.POLICY_NOT_COVERED, Reason.POLICY_NOT_COVERED_ENVELOPE),
    *(Reason.REWRITE_WOULD_FAIL, Reason.REWRITE_FAILS, Reason.TOO_MANY_FIELDS),
    Reason.INTERNAL_ERROR,
}
"""The reasons of which the owner of a domain is told less, or in other words."""


def event(kind: str, **now: object) -> PastEvent:
    return PastEvent(NOW, "easy", kind, {}, now)


def is_sentence(text: str) -> bool:
    return text == text.strip() and text.endswith(".") and "{" not in text


@pytest.mark.parametrize("language", Language, ids=lambda each: each.value)
@pytest.mark.parametrize("reason", Reason, ids=lambda each: each.value)
def test_every_reason_is_told_with_what_happens_for_it(reason: Reason, language: Language) -> None:
    texts = TEXTS[language]

    assert is_sentence(what_happens(reason.action, NAME, texts))
    assert is_sentence(why(reason, NAME, texts))
    assert why_of_word(reason.value, NAME, texts) == why(reason, NAME, texts)


def test_a_sentence_that_is_the_same_to_owners_is_said_once() -> None:
    told = {
        reason for reason in Reason if why(reason, NAME, EN) != say_reason(reason, NAME, EN, None)
    }

    assert told == SUPPORTERS_ALONE


def test_the_option_of_a_rule_is_named_to_supporters() -> None:
    assert "rules.exempt" in why(Reason.EXEMPT, NAME, EN)
    assert "rules.always" in why(Reason.ALWAYS, NAME, EN)


def test_a_reason_of_a_later_alignd_is_not_told() -> None:
    assert why_of_word("moon-in-the-way", NAME, EN) == ""
    assert why_of_word("rewrite", NAME, EN) == ""


@pytest.mark.parametrize("language", Language, ids=lambda each: each.value)
def test_states_have_different_words(language: Language) -> None:
    states = [*(action.value for action in Action), UNKNOWN, "of a later alignd"]
    words = [state_word(state, TEXTS[language]) for state in states]

    assert len(set(words)) == len(states)
    assert all(words)


def test_every_state_has_a_look_that_the_style_sheet_has() -> None:
    sheet = (files("alignd.web") / "static" / "alignd.css").read_text()
    for state in (*(action.value for action in Action), UNKNOWN, "of a later alignd"):
        style = state_badge(state, EN).style
        assert re.search(rf"\.{style}\b", sheet), state


def test_a_dry_run_says_what_would_be() -> None:
    said = what_happens(Action.REWRITE, NAME, EN, is_dry_run=True)

    assert "dry run" in said
    assert said.endswith("otherwise it would be: rewritten.")
    assert "dry run" not in what_happens(Action.PASS, NAME, EN, is_dry_run=True)


@pytest.mark.parametrize("language", Language, ids=lambda each: each.value)
@pytest.mark.parametrize("kind", [*(kind.value for kind in EventKind), "of-a-later-alignd"])
def test_every_event_is_told(kind: str, language: Language) -> None:
    told = say_event(event(kind, policy="reject", relay="smtp1"), NAME, TEXTS[language])

    assert is_sentence(told)


def test_events_tell_different_things() -> None:
    told = {say_event(event(kind.value), NAME, EN) for kind in EventKind}

    assert len(told) == len(EventKind)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"policy": "reject"}, "The DMARC policy of mycompany.com is “reject” now."),
        ({"policy": "absent"}, "mycompany.com has no DMARC record any more."),
        ({"policy": "unknown"}, "DNS does not say any more which DMARC policy"),
        ({"policy": "of-a-later-rfc"}, "mycompany.com has another DMARC policy."),
        ({}, "mycompany.com has another DMARC policy."),
        ({"policy": {"p": "reject"}}, "mycompany.com has another DMARC policy."),
    ],
    ids=["reject", "absent", "unknown-is-not-absent", "later", "nothing", "an-object"],
)
def test_a_policy_is_told_with_what_it_is(now: dict[str, object], said: str) -> None:
    assert say_event(event("policy", **now), NAME, EN).startswith(said)


@pytest.mark.parametrize("language", Language, ids=lambda each: each.value)
@pytest.mark.parametrize("trouble", Trouble, ids=lambda each: each.value)
def test_every_trouble_is_told(trouble: Trouble, language: Language) -> None:
    assert is_sentence(say_trouble(CheckProblem(trouble, "10.0.0.1"), TEXTS[language]))


@pytest.mark.parametrize("language", Language, ids=lambda each: each.value)
@pytest.mark.parametrize("cause", NoLetter, ids=lambda each: each.name)
def test_it_is_told_why_there_is_no_record(cause: NoLetter, language: Language) -> None:
    assert is_sentence(nothing_to_ask(cause, TEXTS[language]))


CHANGES: list[Change] = [
    ReasonChanged(Reason.RELAY_NOT_AUTHORISED, Reason.SPF_ALIGNED),
    ReasonChanged(Reason.SPF_ALIGNED, Reason.DKIM_ALIGNED),
    SpfChanged(ADDRESS, SpfResult.FAIL, SpfResult.PASS),
    DkimChanged(Domain(NAME), "easy1", None, DkimResult.PASS),
    DkimChanged(Domain(NAME), "easy1", DkimResult.PASS, None),
    DkimChanged(None, "easy1", DkimResult.NONE, DkimResult.PASS),
    *(PolicyChanged(Policy.NONE, policy) for policy in Policy),
    RecordPublished(NAME, Kind.TXT, b"v=spf1 -all"),
    RecordRemoved(f"easy1._domainkey.{NAME}", Kind.CNAME, b"easy1.dkim.easy.cz"),
]


@pytest.mark.parametrize("language", Language, ids=lambda each: each.value)
@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_every_change_is_told(change: Change, language: Language) -> None:
    assert "{" not in say_change(change, NAME, TEXTS[language])


def test_changes_are_told_with_what_was_and_what_is() -> None:
    assert [say_change(each, NAME, EN) for each in CHANGES[:4]] == [
        "Mail of mycompany.com: it was “rewritten”, and is “passes” now.",
        "The mail is signed with a DKIM key of mycompany.com.",
        "SPF for 192.0.2.25: it was fail, and is pass now.",
        "There is a signature with the DKIM key easy1 of mycompany.com now: pass.",
    ]


def test_a_record_of_any_octets_is_told_in_part_and_harmlessly() -> None:
    told = say_change(RecordPublished(NAME, Kind.TXT, b"\x1b[2J\x00\xff" + b"x" * 9999), NAME, EN)

    assert told.isprintable()
    assert len(told) < MAX_SHOWN + 100


def test_a_check_that_finds_the_record_is_good_news() -> None:
    before, now = examined(UNLISTED), examined(LISTED)
    changes = (ReasonChanged(before.reason, now.reason),)

    notice = check_notice(Checked(before, now, changes, is_seen_by_mail=False), EN)

    assert notice.tone is Tone.GOOD
    assert notice.sentence == "Looked at 1 July 2026, 09:59 UTC. This has changed:"
    assert notice.changes[0] == "Mail of mycompany.com: it was “rewritten”, and is “passes” now."
    assert "cache" in notice.changes[1]


@pytest.mark.parametrize(
    ("outcome", "tone", "said"),
    [
        (TooSoon(0.2), Tone.INFO, "in a second."),
        (TooSoon(4.1), Tone.INFO, "in 5 seconds."),
        (CheckProblem(Trouble.BUSY), Tone.BAD, "Too many domains"),
        (Checked(examined(UNLISTED), examined(UNLISTED)), Tone.INFO, "nothing has changed."),
        (Checked(None, examined(UNLISTED)), Tone.INFO, "Looked at 1 July 2026, 09:59 UTC."),
        (Checked(None, examined(f"; SERVFAIL {NAME}\n")), Tone.BAD, "DNS did not answer"),
    ],
    ids=["in-a-second", "rounded-up", "problem", "no-change", "for-the-first-time", "unknown"],
)
def test_what_came_of_a_check_is_told(outcome: CheckOutcome, tone: Tone, said: str) -> None:
    notice = check_notice(outcome, EN)

    assert notice.tone is tone
    assert said in notice.sentence


def test_moments_are_in_utc() -> None:
    assert moment(NOW, EN) == "1 July 2026, 10:00 UTC"
    assert moment(NOW, TEXTS[Language.DE]) == "1. Juli 2026, 10:00 UTC"
