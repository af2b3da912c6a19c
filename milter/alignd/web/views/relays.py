"""The page on the relay itself: what doctor says of it, and the relays of the fleet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from alignd.doctor.report.document import ReportProblem, SavedReport
from alignd.languages.texts import Texts, msgid
from alignd.ledger.queries.json import relay_json
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.window.protocol import Obstacle
from alignd.web.views.badges import Badge
from alignd.web.views.errors import why_unreadable
from alignd.web.views.examination import (
    ExaminationView,
    NoExaminationView,
    examination_view,
    verdict_of,
    verdict_of_topic,
)
from alignd.web.views.times import ago, instant

_DIGEST_SHOWN = 12  # characters, which tell a thousand configurations apart
_LEGS = {"outbound": msgid("mail to customers"), "return": msgid("answers and bounces")}


@dataclass(frozen=True, slots=True)
class NoRelays:
    """The ledger does not say which relays there are."""

    obstacle: Obstacle
    problem: str
    """In the operator's words."""


@dataclass(frozen=True, slots=True)
class RelayView:
    """A service of a relay."""

    relay: str
    leg: str
    badge: Badge
    """Whether it gives signs of life."""
    last_seen: str
    """For `<time datetime>`."""
    ago: str
    version: str
    mode: str
    """Whether it changes mail."""
    last_day: str
    """The number of messages of 24 hours."""
    digest: str
    """The beginning of that of its configuration file."""
    configuration: str
    """A word where it is another one than most relays have; else empty."""


@dataclass(frozen=True, slots=True)
class RelaysPage:
    """All that the page shows."""

    examination: ExaminationView | NoExaminationView
    relays: tuple[RelayView, ...]
    """The silent ones first."""
    summary: str
    """How many relays there are and are silent, or why that is not known."""
    problem: str
    """Why the relays are not known, in English; empty if they are."""
    has_silent: bool


def relays_page(
    report: SavedReport | ReportProblem,
    relays: Sequence[RelayRow] | NoRelays,
    now: float,
    texts: Texts,
) -> RelaysPage:
    """The page at the Unix time *now*."""
    rows = () if isinstance(relays, NoRelays) else relays
    others = having_another_configuration(rows)
    return RelaysPage(
        examination=examination_view(report, now, texts),
        relays=tuple(
            _relay(row, now, texts, has_other=_key(row) in others)
            for row in sorted(rows, key=lambda row: not row.is_silent)
        ),
        summary=_summary(relays, texts),
        problem=relays.problem if isinstance(relays, NoRelays) else "",
        has_silent=any(row.is_silent for row in rows),
    )


def relays_json(
    report: SavedReport | ReportProblem, relays: Sequence[RelayRow] | NoRelays, now: float
) -> dict[str, Any]:
    """The same for programs, in no language: each part is null where it is not known, and why."""
    return {
        "time": instant(now),
        "doctor": _report_json(report, now) if isinstance(report, SavedReport) else None,
        "doctor_problem": None if isinstance(report, SavedReport) else _problem_json(report),
        "relays": None if isinstance(relays, NoRelays) else _rows_json(relays),
        "relays_problem": _obstacle_json(relays) if isinstance(relays, NoRelays) else None,
    }


def having_another_configuration(rows: Sequence[RelayRow]) -> frozenset[tuple[str, str]]:
    """The relays, with their legs, whose configuration is not that of most relays of the leg.

    None where no configuration is that of more than half of them, as where each names addresses
    of its own. Relays that are silent may be gone, and are not counted.
    """
    return frozenset(
        _key(row)
        for leg in {row.leg for row in rows}
        if (usual := _usual([row for row in rows if row.leg == leg]))
        for row in rows
        if row.leg == leg and row.digest not in ("", usual)
    )


def _usual(rows: Sequence[RelayRow]) -> str:
    """The digest that more than half of *rows* have; empty if none is."""
    digests = Counter(row.digest for row in rows if row.digest and not row.is_silent)
    ((digest, count),) = digests.most_common(1) or [("", 0)]
    return digest if 2 * count > digests.total() else ""


def _key(row: RelayRow) -> tuple[str, str]:
    return row.relay, row.leg


def _relay(row: RelayRow, now: float, texts: Texts, *, has_other: bool) -> RelayView:
    if row.is_silent:
        badge = Badge(texts.text("silent"), "state-refuse")
    else:
        badge = Badge(texts.text("alive"), "state-pass")
    leg = _LEGS.get(row.leg)
    return RelayView(
        relay=row.relay,
        leg=texts.text(leg) if leg else row.leg,
        badge=badge,
        last_seen=instant(row.last_seen),
        ago=ago(texts, max(0.0, now - row.last_seen)),
        version=row.version,
        mode=texts.text("dry run") if row.is_dry_run else texts.text("changes mail"),
        last_day=texts.number(row.last_day),
        digest=row.digest[:_DIGEST_SHOWN],
        configuration=texts.text("not that of most relays") if has_other else "",
    )


def _summary(relays: Sequence[RelayRow] | NoRelays, texts: Texts) -> str:
    if isinstance(relays, NoRelays):
        return why_unreadable(relays.obstacle, texts)
    if not relays:
        return texts.text("No relay has written to the ledger yet.")
    names = {row.relay for row in relays}
    silent = {row.relay for row in relays if row.is_silent}
    if silent:
        return texts.plural(
            "{n} of {all} relays is silent: nothing was heard of it for ten minutes.",
            "{n} of {all} relays are silent: nothing was heard of them for ten minutes.",
            len(silent),
            all=texts.number(len(names)),
        )
    return texts.plural(
        "{n} relay writes to the ledger, and is alive.",
        "{n} relays write to the ledger, and all are alive.",
        len(names),
    )


def _report_json(report: SavedReport, now: float) -> dict[str, Any]:
    return {
        "relay": report.relay,
        "time": instant(report.time),
        "age": round(report.age(now)),
        "stale": report.is_stale(now),
        "exit_status": report.status,
        "verdict": verdict_of(report).value,
        "topics": list(_topics_json(report)),
    }


def _topics_json(report: SavedReport) -> Iterator[dict[str, Any]]:
    for topic in report.topics:
        findings = [
            {
                "id": each.id,
                "severity": each.severity.value,
                "what": each.what,
                "why": each.why,
                "fix": each.fix,
            }
            for each in topic.findings
        ]
        yield {
            "topic": topic.topic,
            "verdict": verdict_of_topic(topic).value,
            "findings": findings,
            "could_not_check": list(topic.unknown),
            "left_out": list(topic.skipped),
            "notes": list(topic.notes),
        }


def _problem_json(problem: ReportProblem) -> dict[str, str]:
    return {"reason": problem.trouble.value, "text": problem.text}


def _obstacle_json(relays: NoRelays) -> dict[str, str]:
    return {"reason": relays.obstacle.value, "text": relays.problem}


def _rows_json(rows: Sequence[RelayRow]) -> list[dict[str, Any]]:
    others = having_another_configuration(rows)
    return [_row_json(row, has_other=_key(row) in others) for row in rows]


def _row_json(row: RelayRow, *, has_other: bool) -> dict[str, Any]:
    return {**relay_json(row), "other_configuration": has_other}
