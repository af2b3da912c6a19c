"""Renders what a ledger answers: its domains, the history of one, its relays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from alignd.cli.text import (
    BLANK,
    GOOD,
    HEADING,
    PLAIN,
    WARNING,
    WARNING_HEADING,
    Line,
    Span,
    Style,
    fold,
)
from alignd.ledger.answer import Finding
from alignd.ledger.queries.history import DayCount, History, PastEvent
from alignd.ledger.queries.json import date, fix_for, is_unwanted
from alignd.ledger.queries.overview import DomainRow
from alignd.ledger.queries.relays import RelayRow

DOMAIN_COLUMNS = (
    *("domain", "tenant", "leg", "action", "reason", "policy", "spf", "dkim", "since"),
    *("first_seen", "last_seen", "looked", "unknown_since"),
    *("messages_day", "messages_30_days", "rewritten_30_days", "fix"),
)
"""What CSV has of `domain_json`."""
DAY_COLUMNS = ("day", "tenant", "action", "reason", "messages")
RELAY_COLUMNS = (
    *("relay", "leg", "first_seen", "last_seen", "silent", "messages_day"),
    *("version", "digest", "dry_run"),
)
_BARS = "▁▂▃▄▅▆▇█"
_DAYS_OF_BAR = 3
_DIGEST_SHOWN = 12  # characters


def overview_lines(
    rows: Sequence[DomainRow], others: int, *, has_sparkline: bool
) -> Iterator[Line]:
    """The domains by what happens to their mail and why, with what would help; then the sums."""
    for (action, reason), some in _by_state(rows).items():
        yield from _section(action, reason, some, has_sparkline=has_sparkline)
        yield BLANK
    yield from _sums(rows, others)


def history_lines(history: History, *, has_sparkline: bool) -> Iterator[Line]:
    """What happens to the mail of a domain, what happened to it, and where to read on."""
    yield Line.of(Span(history.domain, HEADING))
    for state in history.states:
        yield from _state(state, has_sparkline=has_sparkline)
    if history.events:
        yield from (BLANK, Line.of(Span("What changed, times in UTC", HEADING)))
        for event in history.events:
            yield from _event(event)
    if history.days:
        yield from (BLANK, Line.of(Span("Messages by day (UTC)", HEADING)))
        yield from map(_day, history.days)
    if any(state.is_rewritten for state in history.states):
        yield BLANK
        yield from fold(f"`alignd domain {history.domain}` says what would change that.")


def relay_lines(rows: Iterable[RelayRow]) -> Iterator[Line]:
    """A table of relays, the silent ones marked."""
    layout = "{:<16}  {:>10}  {:<8}  {:<12}  {:<8}  {}"
    titles = ("heard (UTC)", "a day", "version", "file", "leg", "relay")
    yield Line.of(Span(layout.format(*titles), HEADING))
    for row in rows:
        cells = (_time(row.last_seen), f"{row.last_day:,}", row.version)
        text = layout.format(*cells, row.digest[:_DIGEST_SHOWN], row.leg, row.relay)
        dry = ("  dry run",) if row.is_dry_run else ()
        silent = (Span("  silent", WARNING),) if row.is_silent else ()
        yield Line.of(text, *dry, *silent)


def sparkline(numbers: Sequence[int]) -> str:
    """A bar for each of *numbers*, as high as it is beside the highest; a blank for none."""
    most = max(numbers, default=0)
    return "".join(
        _BARS[(number * len(_BARS) - 1) // most] if number else " " for number in numbers
    )


def _by_state(rows: Iterable[DomainRow]) -> dict[tuple[str, str], list[DomainRow]]:
    """The rows of each action and reason: first what is not wanted, then by their messages."""
    found: dict[tuple[str, str], list[DomainRow]] = {}
    for row in rows:
        found.setdefault((row.finding.action, row.finding.reason), []).append(row)

    def place(state: tuple[str, str]) -> tuple[bool, int, tuple[str, str]]:
        return not is_unwanted(*state), -sum(row.messages for row in found[state]), state

    return {state: found[state] for state in sorted(found, key=place)}


def _section(
    action: str, reason: str, rows: Sequence[DomainRow], *, has_sparkline: bool
) -> Iterator[Line]:
    style = WARNING_HEADING if is_unwanted(action, reason) else HEADING
    messages = sum(row.messages for row in rows)
    counts = f"{plural(len(rows), 'domain')}, {plural(messages, 'message')} in 30 days"
    yield from fold(f"{action} {reason}: {counts}", style=style)
    if fix := fix_for(action, reason):
        yield from fold(fix, "  ", "  ")
    titles = _cells("since", "a day", "30 days", "each 3 days", has_sparkline=has_sparkline)
    yield Line.of(f"{titles}author domain")
    for row in rows:
        bars = sparkline(_binned(row.by_day))
        numbers = (f"{row.last_day:,}", f"{row.messages:,}", bars)
        cells = _cells(date(row.since), *numbers, has_sparkline=has_sparkline)
        # Not folded: it is to be copied.
        yield Line.of(cells, row.domain, _tenant(row.tenant), *_silence(row))


def _cells(since: str, day: str, month: str, bars: str, *, has_sparkline: bool) -> str:
    start = f"  {since:<10}  {day:>7}  {month:>9}  "
    return f"{start}{bars:<11}  " if has_sparkline else start


def _binned(by_day: Sequence[int]) -> list[int]:
    starts = range(0, len(by_day), _DAYS_OF_BAR)
    return [sum(by_day[start : start + _DAYS_OF_BAR]) for start in starts]


def _sums(rows: Sequence[DomainRow], others: int) -> Iterator[Line]:
    if not rows:
        yield from fold("No author domain is like that.")
    else:
        actions: dict[str, int] = {}
        for row in rows:
            actions[row.finding.action] = actions.get(row.finding.action, 0) + 1
        of_each = ", ".join(f"{actions[action]:,} {action}" for action in sorted(actions))
        messages = plural(sum(row.messages for row in rows), "message")
        rewritten = sum(row.rewritten for row in rows)
        text = f"{plural(len(rows), 'domain')}: {of_each}. {messages} in 30 days, "
        yield from fold(f"{text}{rewritten:,} of them rewritten.", style=HEADING)
    if others:
        yield from fold(
            f"{plural(others, 'message')} more had no readable author, or one of a domain beyond "
            "those that the ledger tells apart."
        )


def _state(row: DomainRow, *, has_sparkline: bool) -> Iterator[Line]:
    finding = row.finding
    style = WARNING if is_unwanted(finding.action, finding.reason) else GOOD
    yield Line.of(
        "  ",
        Span(f"{finding.action} {finding.reason}", style),
        f" since {_time(row.since)} UTC",
        _tenant(row.tenant),
        *_silence(row),
    )
    looked = f"looked at {_time(row.looked)}" if row.looked else "never looked at"
    seen = f"mail from {_time(row.first_seen)} to {_time(row.last_seen)}"
    for text in (
        _found(finding),
        f"{seen}; its records: {looked}",
        f"{plural(row.messages, 'message')} in 30 days, {row.rewritten:,} of them rewritten; "
        f"{row.last_day:,} in 24 hours",
        fix_for(finding.action, finding.reason) or "",
    ):
        if text:
            yield from fold(text, "    ", "    ")
    if has_sparkline and row.messages:
        yield Line.of(f"    {sparkline(row.by_day)}  each of the 30 days")


def _found(finding: Finding) -> str:
    asked = {"policy": finding.policy, "spf": finding.spf, "dkim": finding.dkim}
    return ", ".join(f"{name} {value}" for name, value in asked.items() if value)


def _event(event: PastEvent) -> list[Line]:
    was, now = _what(event.was), _what(event.now)
    change = f"{was} -> {now}" if was and now else was or now
    start = f"  {_time(event.at)}  {event.kind:<14}  "
    return fold(f"{change}{_tenant(event.tenant)}", start, " " * len(start))


def _what(document: Mapping[str, Any]) -> str:
    """What an event says that something was or is: a finding in short, or whatever else it has."""
    if "action" in document:
        return f"{document['action']} {document.get('reason', '')}".strip()
    return ", ".join(
        f"{name}: {', '.join(map(_named, value)) if isinstance(value, list) else _named(value)}"
        for name, value in document.items()
    )


def _named(value: object) -> str:
    return "(none)" if value == "" else str(value)


def _day(day: DayCount) -> Line:
    style = WARNING if is_unwanted(day.action, day.reason) else PLAIN
    words = Span(f"{day.action} {day.reason}", style)
    return Line.of(f"  {date(day.day)}  {day.messages:>9,}  ", words, _tenant(day.tenant))


def _tenant(label: str) -> str:
    return f"  ({label})" if label else ""


def _silence(row: DomainRow) -> tuple[Span, ...]:
    if not row.unknown_since:
        return ()
    return (Span(f"  DNS does not answer since {_time(row.unknown_since)}", Style("red")),)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def plural(count: int, noun: str) -> str:
    """*count* of what *noun* names in the singular."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
