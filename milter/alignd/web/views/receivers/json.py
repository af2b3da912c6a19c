"""What receivers say, for programs: words and numbers, in no language."""

from __future__ import annotations

from typing import Any

from alignd.ledger.receivers.rows import Receivers
from alignd.mail.domain import Domain
from alignd.reports.joined import Joined
from alignd.reports.receivers.shares import Held
from alignd.web.heard import Heard
from alignd.web.views.receivers.page import fails_when_rewritten
from alignd.web.views.times import instant

MAX_ROWS = 1_000
"""Of each list."""


def receivers_json(heard: Heard, now: float) -> dict[str, Any]:
    """All that the page is made of, at the Unix time *now*; shares are from 0 to 1."""
    joined = heard.joined
    return {
        **_span(heard),
        "rewritten_fails": fails_when_rewritten(heard, now),
        "replies": _replies(heard.receivers),
        "rewritten": _shares(joined.rewritten),
        "left_alone": _shares(joined.left_alone),
        "domains": _shares(joined.domains),
        **_joined(joined),
        "needless_estimate": {
            "rewritten": joined.needless.rewritten,
            "messages": joined.needless.messages,
            "while_passing": joined.needless.while_passing,
            "without_dns": joined.needless.without_dns,
        },
        "candidates": [
            {"domain": each.domain, "messages": each.messages, "reason": each.reason}
            for each in joined.candidates[:MAX_ROWS]
        ],
    }


def receivers_of_domain_json(heard: Heard, domain: Domain) -> dict[str, Any]:
    """What they say of mail in its name. The reports that were read are those of all domains."""
    receivers, joined = heard.of_domain(domain.name)
    return {
        **_span(heard),
        "replies": _replies(receivers),
        "left_alone": _shares(joined.left_alone),
        **_joined(joined),
    }


def _span(heard: Heard) -> dict[str, Any]:
    newest = heard.joined.newest
    return {
        "time": instant(heard.taken_at),
        "days": heard.days,
        "reports": heard.joined.reports,
        "newest_report": instant(newest) if newest else None,
    }


def _replies(receivers: Receivers) -> list[dict[str, Any]]:
    return [
        {**key._asdict(), "day": instant(key.day), "messages": messages}
        for key, messages in receivers.replies[:MAX_ROWS]
    ]


def _joined(joined: Joined) -> dict[str, Any]:
    return {
        "precision": [
            {
                "month": each.month,
                "passed": each.passed,
                "messages": each.messages,
                "share": each.precision,
            }
            for each in joined.months
        ],
        "disagreements": [
            {
                "kind": each.kind.value,
                "cause": each.cause.value,
                "domain": each.domain,
                "receiver": each.receiver,
                "address": each.address or None,
                "dkim": each.dkim,
                "spf": each.spf,
                "messages": each.messages,
            }
            for each in joined.disagreements[:MAX_ROWS]
        ],
        "forwarded": [
            {"domain": each.domain, "messages": each.messages}
            for each in joined.forwarded[:MAX_ROWS]
        ],
        "undecided": [
            {
                "domain": each.domain,
                "why": each.why.value,
                "messages": each.messages,
                "failed": each.failed,
            }
            for each in joined.undecided[:MAX_ROWS]
        ],
    }


def _shares(held: tuple[Held, ...]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "passed": each.passed,
            "failed": each.failed,
            "unknown": each.unknown,
            "share": each.share,
            "predicted": each.predicted,
        }
        for each in held[:MAX_ROWS]
    ]
