"""Makes JSON of what a ledger answers, in the shapes that alignd(8) promises to scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from alignd.judgement.reasons import Action, Reason
from alignd.judgement.words import find
from alignd.ledger.queries.history import DayCount, History
from alignd.ledger.queries.overview import DomainRow
from alignd.ledger.queries.relays import RelayRow

_UNWANTED = frozenset({Action.REWRITE.value, Action.REFUSE.value, Action.DEFER.value})
"""The actions that somebody would have otherwise."""
_LEFT_TO_FAIL: str = Reason.REWRITE_WOULD_FAIL.value
_NO_FIX = "None needed"


def domain_json(row: DomainRow, leg: str) -> dict[str, Any]:
    finding = row.finding
    return {
        "domain": row.domain,
        "tenant": row.tenant,
        "leg": leg,
        "action": finding.action,
        "reason": finding.reason,
        "policy": finding.policy,
        "spf": finding.spf,
        "dkim": finding.dkim,
        "since": instant(row.since),
        "first_seen": instant(row.first_seen),
        "last_seen": instant(row.last_seen),
        "looked": instant(row.looked),
        "unknown_since": instant(row.unknown_since),
        "messages_day": row.last_day,
        "messages_30_days": row.messages,
        "rewritten_30_days": row.rewritten,
        "per_day": list(row.by_day),
        "fix": fix_for(finding.action, finding.reason),
    }


def history_json(history: History) -> dict[str, Any]:
    return {
        "domain": history.domain,
        "leg": history.leg,
        "states": [domain_json(state, history.leg) for state in history.states],
        "events": [
            {
                "at": instant(event.at),
                "tenant": event.tenant,
                "kind": event.kind,
                "was": dict(event.was),
                "now": dict(event.now),
            }
            for event in history.events
        ],
        "days": [day_json(day) for day in history.days],
    }


def day_json(day: DayCount) -> dict[str, Any]:
    return {
        "day": date(day.day),
        "tenant": day.tenant,
        "action": day.action,
        "reason": day.reason,
        "messages": day.messages,
    }


def relay_json(row: RelayRow) -> dict[str, Any]:
    return {
        "relay": row.relay,
        "leg": row.leg,
        "first_seen": instant(row.first_seen),
        "last_seen": instant(row.last_seen),
        "silent": row.is_silent,
        "messages_day": row.last_day,
        "version": row.version,
        "digest": row.digest,
        "dry_run": row.is_dry_run,
    }


def instant(seconds: float) -> str | None:
    """A Unix time as programs read it, RFC 3339; None for never."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def is_unwanted(action: str, reason: str) -> bool:
    """Whether somebody would have it otherwise: mail that is changed or goes nowhere, or fails."""
    return action in _UNWANTED or reason == _LEFT_TO_FAIL


def fix_for(action: str, reason: str) -> str | None:
    """What would help; None where nothing has to."""
    word = find(reason) if is_unwanted(action, reason) else None
    return word.text.fix if word and not word.text.fix.startswith(_NO_FIX) else None
