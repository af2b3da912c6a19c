"""What `alignd doctor` said of this relay, as the page on the relay shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from alignd.doctor.findings import TITLES, Severity, Topic
from alignd.doctor.report.document import (
    ReportProblem,
    ReportTrouble,
    SavedFinding,
    SavedReport,
    SavedTopic,
)
from alignd.languages.texts import Texts, msgid
from alignd.web.views.badges import Badge
from alignd.web.views.times import ago, instant

MAX_SHOWN = 50
"""Findings, and remarks of each kind, that are shown of a topic; the terminal shows all."""


class Verdict(Enum):
    """What came of a check, from good to bad."""

    OK = "ok"
    NOT_CHECKED = "not-checked"
    UNKNOWN = "unknown"
    WARNING = "warning"
    FAILURE = "failure"


_WORDS = {
    Verdict.OK: msgid("in order"),
    Verdict.NOT_CHECKED: msgid("not checked"),
    Verdict.UNKNOWN: msgid("unknown"),
    Verdict.WARNING: msgid("warning"),
    Verdict.FAILURE: msgid("failure"),
}
_STYLES = {
    Verdict.OK: "state-pass",
    Verdict.NOT_CHECKED: "state-skip",
    Verdict.UNKNOWN: "state-unknown",
    Verdict.WARNING: "state-rewrite",
    Verdict.FAILURE: "state-refuse",
}
_SEVERITIES = {Severity.ERROR: Verdict.FAILURE, Severity.WARNING: Verdict.WARNING}
_ORDER = tuple(Verdict)
_TROUBLES = {
    ReportTrouble.OFF: msgid(
        "The configuration names no file with what alignd doctor says: web.doctor is empty."
    ),
    ReportTrouble.ABSENT: msgid(
        "alignd doctor has not looked at this relay yet. As root, have it look every hour:"
    ),
    ReportTrouble.UNREADABLE: msgid("What alignd doctor said last cannot be read."),
    ReportTrouble.MALFORMED: msgid(
        "The file that should have what alignd doctor said last has something else."
    ),
    ReportTrouble.VERSION: msgid(
        "Another version of alignd has written what alignd doctor said last."
    ),
}


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding, with its English words."""

    badge: Badge
    finding: SavedFinding


@dataclass(frozen=True, slots=True)
class TopicView:
    """One topic; its texts are English, as the terminal shows them."""

    verdict: Verdict
    badge: Badge
    topic: str
    title: str
    """Empty for a topic of a later alignd."""
    findings: tuple[FindingView, ...]
    unknown: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: str
    """A sentence where there is more than is shown; else empty."""


@dataclass(frozen=True, slots=True)
class ExaminationView:
    """An examination that was saved."""

    relay: str
    badge: Badge
    """The worst of its topics."""
    summary: str
    looked_at: str
    """For `<time datetime>`."""
    ago: str
    warning: str
    """A sentence where it is too old; else empty."""
    topics: tuple[TopicView, ...]
    """The worst ones first, else in the order of doctor."""


@dataclass(frozen=True, slots=True)
class NoExaminationView:
    """There is none to show."""

    sentence: str
    detail: str
    """More of it in English, such as the path; may be empty."""
    can_enable: bool
    """Whether the timer that writes it should be enabled."""


def examination_view(
    report: SavedReport | ReportProblem, now: float, texts: Texts
) -> ExaminationView | NoExaminationView:
    """Show *report* at the Unix time *now*."""
    if isinstance(report, ReportProblem):
        is_absent = report.trouble is ReportTrouble.ABSENT
        return NoExaminationView(texts.text(_TROUBLES[report.trouble]), report.text, is_absent)
    topics = (_topic(topic, texts) for topic in report.topics)
    return ExaminationView(
        relay=report.relay,
        badge=badge_of(verdict_of(report), texts),
        summary=_summary(report, texts),
        looked_at=instant(report.time),
        ago=ago(texts, report.age(now)),
        warning=_age_warning(report, now, texts),
        topics=tuple(sorted(topics, key=lambda topic: -_ORDER.index(topic.verdict))),
    )


def verdict_of(report: SavedReport) -> Verdict:
    """The worst of its topics, and at least what its exit status says.

    Where nothing is worse than a check that was skipped, all is in order: most relays skip some.
    """
    verdicts = [verdict_of_topic(topic) for topic in report.topics]
    if report.status or not verdicts:  # one that says nothing is no good news
        verdicts.append(Verdict.UNKNOWN)
    worst = max(verdicts, key=_ORDER.index)
    return Verdict.OK if worst is Verdict.NOT_CHECKED else worst


def verdict_of_topic(topic: SavedTopic) -> Verdict:
    """What came of the checks of one topic."""
    if topic.findings:
        found = (_SEVERITIES[finding.severity] for finding in topic.findings)
        return max(found, key=_ORDER.index)
    if topic.unknown:
        return Verdict.UNKNOWN
    return Verdict.NOT_CHECKED if topic.skipped else Verdict.OK


def badge_of(verdict: Verdict, texts: Texts) -> Badge:
    return Badge(texts.text(_WORDS[verdict]), _STYLES[verdict])


def _topic(topic: SavedTopic, texts: Texts) -> TopicView:
    verdict = verdict_of_topic(topic)
    lists = (topic.findings, topic.unknown, topic.skipped, topic.notes)
    hidden = sum(max(0, len(each) - MAX_SHOWN) for each in lists)
    findings = (
        FindingView(badge_of(_SEVERITIES[each.severity], texts), each)
        for each in topic.findings[:MAX_SHOWN]
    )
    return TopicView(
        verdict,
        badge_of(verdict, texts),
        topic.topic,
        _TITLES.get(topic.topic, ""),
        tuple(findings),
        topic.unknown[:MAX_SHOWN],
        topic.skipped[:MAX_SHOWN],
        topic.notes[:MAX_SHOWN],
        _left_out(hidden, texts),
    )


_TITLES = {topic.value: TITLES[topic] for topic in Topic}


def _left_out(hidden: int, texts: Texts) -> str:
    if not hidden:
        return ""
    return texts.plural(
        "{n} more is not shown: run alignd doctor on the relay.",
        "{n} more are not shown: run alignd doctor on the relay.",
        hidden,
    )


def _summary(report: SavedReport, texts: Texts) -> str:
    """What there is to do, in one sentence."""
    findings = [finding for topic in report.topics for finding in topic.findings]
    if failures := sum(finding.severity is Severity.ERROR for finding in findings):
        return texts.plural(
            "{n} finding costs mail: mail is lost, refused or blocked.",
            "{n} findings cost mail: mail is lost, refused or blocked.",
            failures,
        )
    if findings:
        return texts.plural(
            "{n} finding puts some mail at risk.",
            "{n} findings put some mail at risk.",
            len(findings),
        )
    if verdict_of(report) is Verdict.UNKNOWN:
        return texts.text("Nothing is wrong, but not everything could be checked.")
    return texts.text("Nothing is wrong.")


def _age_warning(report: SavedReport, now: float, texts: Texts) -> str:
    if not report.is_stale(now):
        return ""
    if report.time > now:
        return texts.text(
            "This report is of a time to come: the clock of the relay was wrong, or is."
        )
    return texts.text(
        "This report is older than three hours: something keeps alignd doctor from looking again."
    )
