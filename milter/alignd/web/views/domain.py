"""The page of one author domain, for supporters: what happens to its mail, why, and what helps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alignd.judgement.reasons import Action
from alignd.languages.texts import Texts, msgid
from alignd.ledger.queries.history import History
from alignd.letter.letter import NoLetter, choose_alternative
from alignd.mail.domain import Domain
from alignd.web.desk.examined import (
    ApplyLink,
    CheckProblem,
    Examined,
    NoLink,
    WhyNoLink,
)
from alignd.web.listing import UNKNOWN
from alignd.web.views.badges import Badge, state_badge, state_word
from alignd.web.views.events import Notice, say_trouble
from alignd.web.views.parts.evidence import Check, PublishedRecord, checks_of, published_now
from alignd.web.views.parts.example import Example, example_of
from alignd.web.views.parts.past import Past, past_of, since
from alignd.web.views.parts.records import RecordView, records_of
from alignd.web.views.receivers.domain import HeardOfDomain
from alignd.web.views.sentences import nothing_to_ask, what_happens, why
from alignd.web.views.times import moment

_NO_LINK = {
    WhyNoLink.OFF: "",
    WhyNoLink.NOTHING_TO_PUBLISH: "",
    WhyNoLink.NOT_OUR_TEMPLATE: msgid(
        "The DNS host cannot publish this record by itself: it is another one than we offer there."
    ),
    WhyNoLink.UNSUPPORTED: msgid("The DNS host has no way to publish our record with one click."),
    WhyNoLink.KEY_NOT_PUBLISHED: msgid(
        "The key with which links for DNS hosts are signed is not published: the operator finds "
        "out more with “alignd domain-connect”."
    ),
    WhyNoLink.UNKNOWN: msgid("The DNS host did not say whether it can publish the record."),
    WhyNoLink.NOT_YET_KNOWN: msgid(
        "The DNS host is being asked whether it can publish the record. Load the page again in a "
        "moment."
    ),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at DNS says of a domain, for a page; nothing where there was none."""

    example: Example | None = None
    envelope: str = ""
    """A sentence on mail with another envelope sender, where that fares otherwise."""
    checks: tuple[Check, ...] = ()
    published: tuple[PublishedRecord, ...] = ()
    records: tuple[RecordView, ...] = ()
    no_record: str = ""
    """Why there is no record to publish; empty where there is one."""
    refused: tuple[str, ...] = ()
    """Why other ways are closed: for supporters, in English, in the words of `alignd domain`."""
    apply_url: str = ""
    """Has the DNS host publish the record; empty where it does not."""
    apply_host: str = ""
    no_link: str = ""
    looked_at: str = ""


@dataclass(frozen=True, slots=True)
class DomainPage:
    """All that the page shows."""

    name: str
    state: str
    """The word of an `Action`, or UNKNOWN."""
    badge: Badge
    sentence: str
    why: str
    since: str
    """A date; empty where the ledger does not say the same."""
    findings: Findings
    past: Past | None
    """None where the ledger did not answer."""
    has_letter: bool
    heard: HeardOfDomain | None = None
    """What receivers said of its mail."""
    notice: Notice | None = None
    """What came of a check."""


def domain_page(  # noqa: PLR0913  all that a page is made of
    domain: Domain,
    found: Examined | CheckProblem,
    history: History | None,
    texts: Texts,
    *,
    days: int,
    now: float,
    heard: HeardOfDomain | None = None,
    notice: Notice | None = None,
) -> DomainPage:
    """Make the page at the Unix time *now*; *history* is None where the ledger did not answer."""
    state = state_of_domain(found)
    past = past_of(history, days, now, texts) if history else None
    began = since(history, state) if history else 0.0
    return DomainPage(
        name=domain.name,
        state=state,
        badge=state_badge(state, texts),
        sentence=happens(domain, found, texts),
        why=_why(domain, found, texts),
        since=texts.date(began) if began else "",
        findings=_findings(found, texts),
        past=past,
        has_letter=isinstance(found, Examined) and bool(found.advice.alternatives),
        heard=heard,
        notice=notice,
    )


def state_of_domain(found: Examined | CheckProblem) -> str:
    """What would happen to its mail now: the word of an `Action`, or UNKNOWN."""
    if isinstance(found, CheckProblem) or found.advice.is_unknown:
        return UNKNOWN
    word: str = found.reason.action.value
    return word


def happens(domain: Domain, found: Examined | CheckProblem, texts: Texts) -> str:
    """What happens to its mail, in one sentence."""
    if isinstance(found, CheckProblem):
        return texts.text(
            "Nobody can say now what happens to mail of {domain}.", domain=domain.name
        )
    is_dry_run = found.advice.judgement.settings.rules.dry_run
    return what_happens(found.reason.action, domain.name, texts, is_dry_run=is_dry_run)


def _why(domain: Domain, found: Examined | CheckProblem, texts: Texts) -> str:
    if isinstance(found, CheckProblem):
        return say_trouble(found, texts)
    return why(found.reason, domain.name, texts, found.advice.prediction)


def _findings(found: Examined | CheckProblem, texts: Texts) -> Findings:
    if isinstance(found, CheckProblem):
        return evidence(found.found, texts) if found.found else Findings()
    advice, link = found.advice, found.domain_connect
    return replace(
        evidence(found, texts),
        example=example_of(advice),
        envelope=_envelope(found, texts),
        records=records_of(found, texts),
        no_record=no_record(found, texts),
        refused=advice.refused,
        apply_url=link.url if isinstance(link, ApplyLink) else "",
        apply_host=link.host if isinstance(link, ApplyLink) else "",
        no_link=_no_link(link, texts),
    )


def evidence(examined: Examined, texts: Texts, *, is_public: bool = False) -> Findings:
    """What DNS says, and no verdict: all that is known where it did not say everything."""
    checks = checks_of(examined.advice.prediction, texts, is_public=is_public)
    return Findings(
        checks=tuple(checks),
        published=tuple(published_now(examined, texts)),
        looked_at=looked_at(examined, texts),
    )


def no_record(examined: Examined, texts: Texts) -> str:
    """Why there is no record to publish; empty where there is one."""
    chosen = choose_alternative(examined.advice, 1)
    return nothing_to_ask(chosen, texts) if isinstance(chosen, NoLetter) else ""


def looked_at(examined: Examined, texts: Texts) -> str:
    """When DNS was asked, and which."""
    at = moment(examined.looked_at, texts)
    if examined.is_authoritative:
        return texts.text("As the nameservers of the domain answered on {moment}.", moment=at)
    return texts.text("As DNS answered on {moment}.", moment=at)


def _no_link(link: ApplyLink | NoLink, texts: Texts) -> str:
    sentence = "" if isinstance(link, ApplyLink) else _NO_LINK[link.why]
    return texts.text(sentence) if sentence else ""


def _envelope(examined: Examined, texts: Texts) -> str:
    reason = examined.advice.judgement_of_bounces.reason
    if reason is examined.reason or reason.action in {examined.reason.action, Action.SKIP}:
        return ""
    return texts.text(
        "This is said of mail whose return path is the agent's own address. With {bounces} as "
        "return path it is: {state}.",
        bounces=examined.advice.bounces.address,
        state=state_word(reason.action.value, texts),
    )
