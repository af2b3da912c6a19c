"""What happened to a domain: a chart of its messages, what happened, and the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alignd.judgement.reasons import Action
from alignd.languages.texts import Texts
from alignd.ledger.queries.history import DayCount, History, PastEvent
from alignd.ledger.queries.overview import DomainRow
from alignd.web.chart import DAY, Chart, ChartTexts, DayMessages, Mark, chart_of, chart_svg
from alignd.web.listing import state_of
from alignd.web.views.badges import Badge, state_badge
from alignd.web.views.events import say_event
from alignd.web.views.sentences import why_of_word
from alignd.web.views.times import instant, moment

PERIODS = (30, 90, 365)
"""Days of a chart that can be chosen."""
DEFAULT_PERIOD = 90
MAX_EVENTS = 200
"""The newest are told."""
_PASSED = {Action.PASS.value, Action.ENVELOPE.value, Action.FORWARD.value}


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something that happened, with the number that it has in the chart."""

    number: int
    """0 where the chart has it not."""
    moment: str
    machine_time: str
    """As programs read it."""
    sentence: str


@dataclass(frozen=True, slots=True)
class DayRow:
    """A day with messages."""

    date: str
    passed: str
    rewritten: str


@dataclass(frozen=True, slots=True)
class TenantRow:
    """What one tenant sends as the domain."""

    tenant: str
    """Its label; empty for the general options."""
    badge: Badge
    sentence: str
    """Why; empty where that is not known here."""
    since: str
    messages: str
    """Those of 30 days."""
    rewritten: str
    last_day: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class Past:
    """The history of a domain, as a page has it."""

    days: int
    periods: tuple[int, ...]
    svg: str
    """The chart: markup, all texts in it escaped."""
    rows: tuple[DayRow, ...]
    """The days with messages, the newest first."""
    events: tuple[EventRow, ...]
    """The newest first."""
    tenants: tuple[TenantRow, ...]
    is_known: bool
    """Whether the ledger has anything of it."""


def period_of(text: str) -> int:
    """The days that `?days=` asks for, or the usual ones."""
    return next((days for days in PERIODS if str(days) == text), DEFAULT_PERIOD)


def past_of(history: History, days: int, now: float, texts: Texts) -> Past:
    """What *history* says of the last *days* days."""
    # The ledger has a domain in lower-case A-labels, or whatever it once was given.
    domain = history.domain
    events = history.events[:MAX_EVENTS]
    marks = [Mark(each.at, say_event(each, domain, texts)) for each in events]
    chart = chart_of(_messages(history.days), marks, now - (days - 1) * DAY, now)
    return Past(
        days=days,
        periods=PERIODS,
        svg=chart_svg(chart, _chart_texts(domain, days, texts)),
        rows=tuple(_days(chart, texts)),
        events=tuple(_events(events, chart, domain, texts)),
        tenants=tuple(_tenant(each, texts) for each in history.states),
        is_known=history.is_known,
    )


def of_tenant(history: History, tenant: str) -> History:
    """What *history* has of one tenant alone."""
    return History(
        history.leg,
        history.domain,
        tuple(each for each in history.states if each.tenant == tenant),
        tuple(each for each in history.days if each.tenant == tenant),
        tuple(each for each in history.events if each.tenant == tenant),
    )


def since(history: History, action: str) -> float:
    """Since when all tenants have *action*, by the ledger; 0 where it says something else."""
    if not history.states or any(state_of(each) != action for each in history.states):
        return 0.0
    return max(each.since for each in history.states)


def _messages(days: Iterable[DayCount]) -> Iterator[DayMessages]:
    for each in days:
        if each.action == Action.REWRITE.value:
            yield DayMessages(each.day, each.messages, 0)
        elif each.action in _PASSED:
            yield DayMessages(each.day, 0, each.messages)


def _chart_texts(domain: str, days: int, texts: Texts) -> ChartTexts:
    return ChartTexts(
        title=texts.plural(
            "Mail of {domain} on the last day",
            "Mail of {domain} on the last {n} days",
            days,
            domain=domain,
        ),
        description=texts.text(
            "For each day, the messages that passed stand above the line, and those that were "
            "rewritten below it. The table after the chart has the same numbers."
        ),
        rewritten=texts.text("rewritten"),
        passed=texts.text("passed"),
        nothing=texts.text("No messages"),
        day=lambda day, rewritten, passed: texts.text(
            "{date}: {rewritten} rewritten, {passed} passed",
            date=texts.date(day),
            rewritten=texts.number(rewritten),
            passed=texts.number(passed),
        ),
        date=texts.date,
        number=texts.number,
    )


def _days(chart: Chart, texts: Texts) -> Iterator[DayRow]:
    for row in reversed(chart.rows):
        if row.passed or row.rewritten:
            numbers = texts.number(row.passed), texts.number(row.rewritten)
            yield DayRow(texts.date(row.day), *numbers)


def _events(
    events: Iterable[PastEvent], chart: Chart, domain: str, texts: Texts
) -> Iterator[EventRow]:
    numbers = {mark: number for number, mark in enumerate(chart.marks, start=1)}
    for each in events:
        sentence = say_event(each, domain, texts)
        number = numbers.get(Mark(each.at, sentence), 0)
        yield EventRow(number, moment(each.at, texts), instant(each.at), sentence)


def _tenant(row: DomainRow, texts: Texts) -> TenantRow:
    return TenantRow(
        tenant=row.tenant,
        badge=state_badge(state_of(row), texts),
        sentence=why_of_word(row.finding.reason, row.domain, texts),
        since=texts.date(row.since),
        messages=texts.number(row.messages),
        rewritten=texts.number(row.rewritten),
        last_day=texts.number(row.last_day),
        last_seen=moment(row.last_seen, texts),
    )
