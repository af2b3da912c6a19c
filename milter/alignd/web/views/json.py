"""The page of a domain as JSON: the advice of `alignd domain`, and the history of `alignd ledger`.

Its words are stable, for scripts; the sentences of a check are in the language of the reader.
"""

from __future__ import annotations

from typing import Any

from alignd.advice.json import advice_json
from alignd.languages.texts import Texts
from alignd.ledger.queries.history import History
from alignd.ledger.queries.json import history_json, instant
from alignd.letter.hosting import Hosting
from alignd.mail.domain import Domain
from alignd.mail.printable import record_text
from alignd.web.desk.examined import (
    ApplyLink,
    Checked,
    CheckOutcome,
    CheckProblem,
    Examined,
    NoLink,
    Records,
    TooSoon,
)
from alignd.web.heard import Heard
from alignd.web.views.domain import state_of_domain
from alignd.web.views.events import check_notice
from alignd.web.views.receivers.json import receivers_of_domain_json


def domain_page_json(
    domain: Domain,
    found: Examined | CheckProblem,
    history: History | None,
    heard: Heard | None,
) -> dict[str, Any]:
    """All that the page is made of; null where it is not known."""
    examined = found if isinstance(found, Examined) else found.found
    return {
        "domain": domain.name,
        "state": state_of_domain(found),
        "trouble": found.trouble.value if isinstance(found, CheckProblem) else None,
        "examined": _examined(examined) if examined else None,
        "history": history_json(history) if history else None,
        "receivers": receivers_of_domain_json(heard, domain) if heard else None,
    }


def check_json(outcome: CheckOutcome, texts: Texts) -> dict[str, Any]:
    """What came of looking anew."""
    notice = check_notice(outcome, texts)
    said = {
        "tone": notice.tone.value,
        "sentence": notice.sentence,
        "changes": list(notice.changes),
    }
    match outcome:
        case TooSoon(seconds):
            return {"outcome": "too-soon", "seconds": seconds, "problem": notice.sentence, **said}
        case CheckProblem(trouble):
            problem = {"trouble": trouble.value, "problem": notice.sentence}
            return {"outcome": "problem", **problem, **said}
        case Checked(_, now, _, is_seen):
            state = state_of_domain(now)
            return {"outcome": "checked", "state": state, "seen_by_mail": is_seen, **said}


def _examined(examined: Examined) -> dict[str, Any]:
    return {
        **advice_json(examined.advice),
        "looked_at": instant(examined.looked_at),
        "authoritative": examined.is_authoritative,
        "published": list(map(_records, examined.records)),
        "hosting": _hosting(examined.hosting),
        "domain_connect": _link(examined.domain_connect),
    }


def _records(records: Records) -> dict[str, Any]:
    texts = records.texts
    return {
        "name": records.name,
        "texts": None if texts is None else [record_text(each) for each in texts],
        "alias_of": records.alias_of or None,
    }


def _hosting(hosting: Hosting) -> dict[str, Any]:
    return {
        "zone": hosting.zone.name if hosting.zone else None,
        "nameservers": list(hosting.nameservers),
        "host": hosting.host.name if hosting.host else None,
    }


def _link(link: ApplyLink | NoLink) -> dict[str, Any]:
    if isinstance(link, ApplyLink):
        return {"url": link.url, "host": link.provider, "why_not": None}
    return {"url": None, "host": None, "why_not": link.why.value}
