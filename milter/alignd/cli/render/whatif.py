"""Renders what would change for author domains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from alignd.advice.whatif import Comparison
from alignd.cli.text import BLANK, GOOD, HEADING, WARNING, Line, Span, Style, fold
from alignd.ledger.answer import Finding

COLUMNS = (
    *("domain", "tenant", "messages_30_days", "changes"),
    *("action_now", "reason_now", "action_then", "reason_then"),
)


def whatif_lines(found: Sequence[Comparison]) -> Iterator[Line]:
    """Whose mail would meet something else, most mail first, and the sums."""
    groups = (
        ("Would be rewritten", WARNING, [each for each in found if each.loses_name]),
        ("Would no longer be rewritten", GOOD, [each for each in found if each.gains_name]),
        ("Would meet something else", HEADING, [each for each in found if _is_other(each)]),
    )
    for title, style, some in groups:
        if some:
            yield from _group(title, style, some)
            yield BLANK
    yield from fold(_sums(found))


def whatif_json(each: Comparison) -> dict[str, Any]:
    return {
        "domain": each.subject.domain.name,
        "tenant": each.subject.tenant,
        "messages_30_days": each.subject.messages,
        "changes": each.changes,
        "unknown": each.is_unknown,
        "now": _finding_json(each.now),
        "then": _finding_json(each.then),
    }


def whatif_cells(each: Comparison) -> tuple[str, ...]:
    """A row of CSV, see COLUMNS."""
    changes = "unknown" if each.is_unknown else "yes" if each.changes else "no"
    return (
        each.subject.domain.name,
        each.subject.tenant,
        str(each.subject.messages),
        changes,
        *(each.now.action, each.now.reason, each.then.action, each.then.reason),
    )


def _is_other(each: Comparison) -> bool:
    return each.changes and not each.loses_name and not each.gains_name


def _group(title: str, style: Style, some: Sequence[Comparison]) -> Iterator[Line]:
    messages = sum(each.subject.messages for each in some)
    yield Line.of(Span(f"{title}: {len(some):,} domains, {messages:,} messages in 30 days", style))
    for each in sorted(some, key=lambda each: (-each.subject.messages, each.subject.domain.name)):
        tenant = f"  ({each.subject.tenant})" if each.subject.tenant else ""
        now, then = (f"{found.action} {found.reason}" for found in (each.now, each.then))
        # Not folded: it is to be copied.
        yield Line.of(f"{each.subject.messages:>10,}  {each.subject.domain}{tenant}")
        yield from fold(f"{now} -> {then}", " " * 12, " " * 12)


def _sums(found: Sequence[Comparison]) -> str:
    changed = [each for each in found if each.changes]
    lose = sum(each.loses_name for each in found)
    gain = sum(each.gains_name for each in found)
    unknown = sum(each.is_unknown for each in found)
    text = (
        f"{len(changed):,} of {len(found):,} domains would meet something else: {lose:,} would be "
        f"rewritten, {gain:,} would no longer be."
    )
    return f"{text} DNS did not answer for {unknown:,}." if unknown else text


def _finding_json(finding: Finding) -> dict[str, str]:
    return {
        "action": finding.action,
        "reason": finding.reason,
        "policy": finding.policy,
        "spf": finding.spf,
        "dkim": finding.dkim,
    }
