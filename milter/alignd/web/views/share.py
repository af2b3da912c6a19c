"""The page of one domain for whoever has its link: the admin of a customer.

It has what the public DNS says, and what the customer's own agents and their recipients see. Left
out is all else, since the link may be passed on, and the domain may be another tenant's too:

* other tenants: their names, numbers, states and events, also that there are any;
* the relays: their names, whether they write to the ledger, and the fleet's events;
* why the configuration treats the domain as it does (lists such as rules.exempt), what is missing
  in it, what the operator has to add, and the notes of `alignd domain`, which name options;
* the reasons that the ledger has for a message, which tell of other messages than the agents';
* why receivers have refused mail and what the operator does about it, and their reports where
  another tenant sends as the domain: reports do not tell whose mail it was;
* what our resolver says of its own troubles, and whom it asked;
* other envelope senders of ours.

The addresses of the mail server stay: the SPF records name them, and every message has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from alignd.judgement.reasons import Action
from alignd.languages.texts import Texts, msgid
from alignd.ledger.queries.history import History
from alignd.letter.reasons import say_reason
from alignd.mail.domain import Domain
from alignd.web.desk.examined import ApplyLink, CheckProblem, Examined
from alignd.web.views.badges import Badge, state_badge
from alignd.web.views.domain import (
    Findings,
    evidence,
    happens,
    no_record,
    state_of_domain,
)
from alignd.web.views.events import OF_THE_DOMAIN, Notice, kind_of, say_trouble
from alignd.web.views.parts.example import example_of
from alignd.web.views.parts.past import Past, of_tenant, past_of
from alignd.web.views.parts.records import RecordView, records_of
from alignd.web.views.receivers.domain import HeardOfDomain

_OUTCOMES = {
    Action.PASS: msgid("Your helpdesk's mail goes out from your agents' own addresses."),
    Action.ENVELOPE: msgid("Your helpdesk's mail goes out from your agents' own addresses."),
    Action.REWRITE: msgid(
        "Your helpdesk's mail goes out from our own address, with your agents' names."
    ),
}


@dataclass(frozen=True, slots=True)
class SharePage:
    """All that the page shows."""

    name: str
    state: str
    badge: Badge
    sentence: str
    why: str
    findings: Findings
    past: Past | None
    """Of the one tenant; None where the ledger did not answer."""
    messages: str
    """Those of the tenant in 30 days."""
    rewritten: str
    ends: str
    """The date on which the link ends."""
    heard: HeardOfDomain | None = None
    """What receivers said of the mail of the one tenant."""
    notice: Notice | None = None


def share_page(  # noqa: PLR0913  all that a page is made of
    domain: Domain,
    tenant: str,
    found: Examined | CheckProblem,
    history: History | None,
    texts: Texts,
    *,
    days: int,
    now: float,
    ends: float,
    heard: HeardOfDomain | None = None,
    notice: Notice | None = None,
) -> SharePage:
    """Make the page of a link for *domain* and *tenant* that ends at the Unix time *ends*."""
    state = state_of_domain(found)
    own = _own(history, tenant) if history else None
    counted = own.states if own else ()
    return SharePage(
        name=domain.name,
        state=state,
        badge=state_badge(state, texts),
        sentence=_happens(domain, found, texts),
        why=_why(domain, found, texts),
        findings=_findings(found, texts),
        past=past_of(own, days, now, texts) if own else None,
        messages=texts.number(sum(each.messages for each in counted)),
        rewritten=texts.number(sum(each.rewritten for each in counted)),
        ends=texts.date(ends),
        heard=heard,
        notice=notice,
    )


def _own(history: History, tenant: str) -> History:
    own = of_tenant(history, tenant)
    events = tuple(each for each in own.events if kind_of(each) in OF_THE_DOMAIN)
    return History(own.leg, own.domain, own.states, own.days, events)


def _happens(domain: Domain, found: Examined | CheckProblem, texts: Texts) -> str:
    if isinstance(found, CheckProblem) or found.reason.action not in _OUTCOMES:
        return happens(domain, found, texts)
    is_dry_run = found.advice.judgement.settings.rules.dry_run
    return texts.text(_OUTCOMES[Action.PASS if is_dry_run else found.reason.action])


def _why(domain: Domain, found: Examined | CheckProblem, texts: Texts) -> str:
    if isinstance(found, CheckProblem):
        return say_trouble(found, texts)
    return say_reason(found.reason, domain.name, texts, found.advice.prediction)


def _findings(found: Examined | CheckProblem, texts: Texts) -> Findings:
    if isinstance(found, CheckProblem):
        return evidence(found.found, texts, is_public=True) if found.found else Findings()
    advice, link = found.advice, found.domain_connect
    return replace(
        evidence(found, texts, is_public=True),
        example=example_of(advice),
        records=tuple(map(_without_notes, records_of(found, texts))),
        no_record=no_record(found, texts),
        apply_url=link.url if isinstance(link, ApplyLink) else "",
        apply_host=link.host if isinstance(link, ApplyLink) else "",
    )


def _without_notes(record: RecordView) -> RecordView:
    return replace(record, notes=())
