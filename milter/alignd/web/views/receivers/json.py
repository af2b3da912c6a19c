"""What receivers say, for programs: words and numbers, in no language."""

from __future__ import annotations

from typing import Any

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
        "time": instant(heard.taken_at),
        "days": heard.days,
        "reports": joined.reports,
        "newest_report": instant(joined.newest) if joined.newest else None,
        "rewritten_fails": fails_when_rewritten(heard, now),
        "replies": [
            {**key._asdict(), "day": instant(key.day), "messages": messages}
            for key, messages in heard.receivers.replies[:MAX_ROWS]
        ],
        "rewritten": _shares(joined.rewritten),
        "left_alone": _shares(joined.left_alone),
        "domains": _shares(joined.domains),
        **_joined(joined),
        "precision": [
            {
                "month": each.month,
                "passed": each.passed,
                "messages": each.messages,
                "share": each.precision,
            }
            for each in joined.months
        ],
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


def _joined(joined: Joined) -> dict[str, Any]:
    return {
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
