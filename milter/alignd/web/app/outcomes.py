"""Carries what came of a check through the redirect that follows it, and answers scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from alignd.languages.texts import Texts
from alignd.mail.domain import Domain
from alignd.web.desk.desk import Checks
from alignd.web.desk.examined import Checked, CheckOutcome, CheckProblem, TooSoon, Trouble
from alignd.web.views.events import Notice, check_notice
from alignd.web.views.query import number_of

CHECKED = "checked"
"""The field of a query that says what came of a check."""
_DONE, _LATER, _AGAIN = "1", "later", "again"
_MOST_SECONDS = 3600
_TOO_MANY = 429  # RFC 6585, section 4


def status_of(outcome: CheckOutcome) -> int:
    """The status of an answer to a script."""
    match outcome:
        case Checked():
            return 200
        case TooSoon():
            return _TOO_MANY
        case CheckProblem():
            return 503


def query_of(outcome: CheckOutcome) -> dict[str, str]:
    """The fields of a query by which `notice_of` knows what came of it."""
    match outcome:
        case Checked():
            return {CHECKED: _DONE}
        case TooSoon(seconds):
            return {CHECKED: _LATER, _AGAIN: str(math.ceil(seconds))}
        case CheckProblem(trouble):
            return {CHECKED: trouble.value}


def notice_of(
    query: Mapping[str, str], checks: Checks, domain: Domain, tenant: str, texts: Texts
) -> Notice | None:
    """What a page says of the check that led to it; None if none did."""
    word = query.get(CHECKED, "")
    if word == _DONE:
        last = checks.last_check(domain, tenant)
        return check_notice(last, texts) if last else None
    if word == _LATER:
        seconds = min(number_of(query.get(_AGAIN, "")), _MOST_SECONDS)
        return check_notice(TooSoon(seconds), texts)
    trouble = {each.value: each for each in Trouble}.get(word)
    return check_notice(CheckProblem(trouble), texts) if trouble else None
