"""Renders the report of `alignd doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.cli.text import (
    BLANK,
    ERROR,
    GOOD,
    HEADING,
    PLAIN,
    WARNING,
    Line,
    Span,
    fold,
    verbatim,
)
from alignd.doctor.findings import TITLES, Finding, Severity, TopicReport

_INDENT = "    "
_STYLES = {Severity.ERROR: ERROR, Severity.WARNING: WARNING}


def examination_lines(topics: tuple[TopicReport, ...]) -> Iterator[Line]:
    """The remarks of each topic, and the number of findings."""
    for topic in topics:
        yield _headline(topic)
        for finding in topic.findings:
            yield from _finding(finding)
        for unknown in topic.unknown:
            yield from _remark(f"could not check: {unknown.text}")
        for skipped in topic.skipped:
            yield from _remark(f"not checked: {skipped.text}")
        for note in topic.notes:
            yield from _remark(note.text)
    yield BLANK
    yield from fold(_summary(topics))


def _headline(topic: TopicReport) -> Line:
    return Line.of(_mark(topic), f" {topic.topic.value}: {TITLES[topic.topic]}")


def _mark(topic: TopicReport) -> Span:
    if topic.findings:
        has_error = _count(topic, Severity.ERROR) > 0
        return Span("✗", ERROR if has_error else WARNING)
    if topic.unknown:
        return Span("?", PLAIN)
    return Span("-", PLAIN) if topic.skipped else Span("✓", GOOD)


def _finding(finding: Finding) -> Iterator[Line]:
    severity = Span(finding.severity.value, _STYLES[finding.severity])
    yield Line.of("  ", severity, " ", Span(finding.id.value, HEADING))
    yield from _remark(finding.what)
    yield from _remark(f"why: {finding.why}")
    yield Line.of(f"{_INDENT}fix:")
    yield from (verbatim(line, f"{_INDENT}  ") for line in finding.fix.splitlines())


def _remark(text: str) -> list[Line]:
    return fold(text, _INDENT, _INDENT)


def _summary(topics: tuple[TopicReport, ...]) -> str:
    errors = sum(_count(topic, Severity.ERROR) for topic in topics)
    warnings = sum(_count(topic, Severity.WARNING) for topic in topics)
    unknown = sum(len(topic.unknown) for topic in topics)
    return (
        f"{len(topics)} topics checked: {_plural(errors, 'error')}, "
        f"{_plural(warnings, 'warning')}, {unknown} could not be checked."
    )


def _count(topic: TopicReport, severity: Severity) -> int:
    return sum(finding.severity is severity for finding in topic.findings)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
