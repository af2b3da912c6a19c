"""A digest as an object of JSON."""

from __future__ import annotations

from typing import Any

from alignd.digest.summary import Change, Numbers, Summary
from alignd.ledger.event import EventKind
from alignd.ledger.queries.json import date, instant


def digest_json(summary: Summary) -> dict[str, Any]:
    """All that the digest counts, and every change."""
    return {
        "first_day": date(summary.week.since),
        "last_day": date(summary.week.last_day),
        "tenant": summary.tenant,
        "week": _numbers(summary.numbers),
        "week_before": _numbers(summary.before),
        "changes": {kind.value: _changes(summary, kind) for kind in summary.changes},
        "has_all_changes": summary.has_all_changes,
        "most_rewritten": [
            {
                "domain": each.domain,
                "messages": each.messages,
                "rewritten": each.rewritten,
                "reason": each.reason,
            }
            for each in summary.most_rewritten
        ],
        "silent_relays": [
            {"relay": each.relay, "leg": each.leg, "last_seen": instant(each.last_seen)}
            for each in summary.silent_relays
        ],
    }


def _numbers(numbers: Numbers) -> dict[str, int]:
    return {
        "messages": numbers.messages,
        "rewritten": numbers.rewritten,
        "domains": numbers.domains,
    }


def _changes(summary: Summary, kind: EventKind) -> list[dict[str, Any]]:
    return [
        {"domain": each.domain, "tenant": each.tenant, "at": instant(each.at), **_more(each, kind)}
        for each in summary.changes[kind]
    ]


def _more(change: Change, kind: EventKind) -> dict[str, Any]:
    """What changes of this kind say besides."""
    match kind:
        case EventKind.POLICY:
            return {"policy_before": change.policy_before, "policy": change.policy}
        case EventKind.REJECTED:
            return {"receiver": change.receiver}
    return {}
