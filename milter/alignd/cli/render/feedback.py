"""Renders what receivers said: the table and the lines of `alignd feedback`, and their JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from alignd.cli.text import BLANK, ERROR, HEADING, PLAIN, Line, Span, fold
from alignd.feedback.disagreement import Disagreement, fix_for
from alignd.feedback.join import Alert
from alignd.feedback.tally import Count, Row, Tally

_HEAD = "{:<9} {:<9} {:>8}  {:<17} {}"


def tally_lines(tally: Tally) -> Iterator[Line]:
    """The table, and below each row what to do."""
    rows = tally.rows()
    if not rows and not tally.left_out:
        yield Line.of("No receiver has refused a message as not authenticated.")
        return
    titles = _HEAD.format("kind", "action", "messages", "last", "domain, receiver, what it said")
    yield Line.of(Span(titles, HEADING))
    told: set[str] = set()
    for row, count in rows:
        yield from _row(row, count)
        fix = fix_for(row.kind, row.pattern.says)
        if fix not in told:
            told.add(fix)
            yield from fold(fix, "  ", "  ")
    if tally.left_out:
        yield BLANK
        yield from fold(f"{tally.left_out} more messages have no row: there are too many.")


def _row(row: Row, count: Count) -> Iterator[Line]:
    start = _HEAD.format(row.kind.value, row.action or "-", count.messages, _time(count.last), "")
    rest = " " * len(start)
    style = ERROR if row.kind.is_disagreement else PLAIN
    author = _author(row.tenant, row.domain) if row.action else "-"
    yield from fold(author, start, rest, style)
    said = f"{row.receiver}: {row.pattern.says.value} ({row.pattern.name})"
    yield from fold(said, rest, rest, style)


def disagreement_lines(each: Disagreement) -> Iterator[Line]:
    """One line, however long, so that programs can read it too."""
    decision = each.decision
    author = _author(decision.tenant, decision.domain) if decision else "-"
    action = f"{decision.action} ({decision.reason})" if decision else "-"
    style = ERROR if each.kind.is_disagreement else PLAIN
    said = f"{each.pattern.says.value} ({each.pattern.name})"
    text = f"{each.queue_id}: {each.kind.value}: {author}, {action}: {each.receiver}: {said}"
    yield Line.of(Span(f"{_time(each.when)} {text}", style))


def alert_lines(alert: Alert) -> Iterator[Line]:
    """An alert, and what to do."""
    messages = "1 message" if alert.messages == 1 else f"{alert.messages} messages within an hour"
    author = _author(alert.tenant, alert.domain)
    text = f"ALERT: {alert.kind.value}: {alert.receiver} has refused {messages}, {author}"
    yield Line.of(Span(f"{_time(alert.when)} {text}", ERROR))


def tally_json(tally: Tally) -> dict[str, Any]:
    values = tally.as_values()
    for each, (row, _count) in zip(values["rows"], tally.rows(), strict=True):
        each["says"] = row.pattern.says.value
        each["fix"] = fix_for(row.kind, row.pattern.says)
    return values


def disagreement_json(each: Disagreement) -> dict[str, Any]:
    decision = each.decision
    return {
        "kind": each.kind.value,
        "queue_id": each.queue_id,
        "tenant": decision.tenant if decision else "",
        "domain": decision.domain if decision else "",
        **{key: getattr(decision, key, "") for key in ("action", "reason")},
        "receiver": each.receiver,
        "pattern": each.pattern.name,
        "says": each.pattern.says.value,
        "final": each.is_final,
        "time": each.when,
        "fix": fix_for(each.kind, each.pattern.says),
    }


def alert_json(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.kind.value,
        "tenant": alert.tenant,
        "domain": alert.domain,
        "receiver": alert.receiver,
        "messages": alert.messages,
        "pattern": alert.pattern.name,
        "time": alert.when,
    }


def _author(tenant: str, domain: str) -> str:
    name = domain or "(unreadable)"
    return f"{name} (tenant {tenant})" if tenant else name


def _time(when: float | None) -> str:
    return "-" if when is None else f"{datetime.fromtimestamp(when):%Y-%m-%d %H:%M}"
