"""Renders the report of `alignd doctor` as text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click

from alignd.cli.text import WIDTH
from alignd.doctor.findings import Finding, Severity, Topic, TopicReport
from alignd.mail.printable import printable

_INDENT = "    "
_TITLES = {
    Topic.NOTIFICATIONS: "DMARC of rewritten mail, from every relay address",
    Topic.HELO: "the HELO name and the names of the relay addresses",
    Topic.APPLICATION: "the application's own address",
    Topic.OUTBOUND: "the addresses and the HELO name that Postfix uses",
    Topic.CHAIN: "alignd's position among the milters",
    Topic.FAILURE: "what Postfix does when alignd fails",
    Topic.QUEUE_FIRST: "the hop from Postfix's queue to its second listener",
    Topic.SOCKET: "the connection from Postfix to alignd",
    Topic.RESOLVER: "the nameservers: whether they answer, how fast, from where",
    Topic.LIMITS: "enough connections and descriptors for Postfix",
    Topic.VERSIONS: "versions with known bugs, and the age of the public suffix list",
}
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def report(topics: tuple[TopicReport, ...]) -> Iterator[str]:
    """The lines of the report, with colours, which `click.echo` strips unless on a terminal."""
    for topic in topics:
        yield _headline(topic)
        for finding in topic.findings:
            yield from _finding(finding)
        for unknown in topic.unknown:
            yield from _wrapped("could not check: ", unknown.text)
        for skipped in topic.skipped:
            yield from _wrapped("not checked: ", skipped.text)
        for note in topic.notes:
            yield from _wrapped("", note.text)
    yield ""
    yield _summary(topics)


def as_json(topics: tuple[TopicReport, ...]) -> dict[str, Any]:
    """The report as JSON, a format that scripts may rely on."""
    return {
        "findings": [
            {
                "id": finding.id.value,
                "severity": finding.severity.value,
                "topic": topic.topic.value,
                "what": finding.what,
                "why": finding.why,
                "fix": finding.fix,
            }
            for topic in topics
            for finding in topic.findings
        ],
        "checked": [
            {
                "topic": topic.topic.value,
                "findings": len(topic.findings),
                "could_not_check": [unknown.text for unknown in topic.unknown],
                "left_out": [skipped.text for skipped in topic.skipped],
                "notes": [note.text for note in topic.notes],
            }
            for topic in topics
        ],
    }


def _headline(topic: TopicReport) -> str:
    if topic.findings:
        worst = Severity.ERROR if _count(topic, Severity.ERROR) else Severity.WARNING
        mark = click.style("✗", fg=_COLOURS[worst])
    elif topic.unknown:
        mark = "?"
    else:
        mark = "-" if topic.skipped else click.style("✓", fg="green")
    return f"{mark} {topic.topic.value}: {_TITLES[topic.topic]}"


def _finding(finding: Finding) -> Iterator[str]:
    name = click.style(finding.id.value, bold=True)
    yield f"  {click.style(finding.severity.value, fg=_COLOURS[finding.severity])} {name}"
    yield from _wrapped("", finding.what)
    yield from _wrapped("why: ", finding.why)
    # A fix is to be copied, so it has lines of its own and is never wrapped.
    yield f"{_INDENT}fix:"
    yield from (f"{_INDENT}  {printable(line)}" for line in finding.fix.splitlines())


def _wrapped(label: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        printable(f"{label}{text}"),
        WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


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
