"""The report of an examination as JSON, and what is read of it again, within strict bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from alignd.doctor.findings import Severity, TopicReport
from alignd.mail.printable import printable

VERSION = 1
"""Of the document. What only adds to it keeps the version."""
MAX_OCTETS = 1 << 20
"""A relay with a thousand findings stays below it."""
STALE_SECONDS = 3 * 3600.0
"""Three times the period of alignd-doctor.timer."""
_CLOCK_SECONDS = 300.0
"""How far in the future a report may be: clocks are set."""
_MAX_TEXT = 65_536  # characters: a fix may be a file
_MAX_ITEMS = 5000  # of each list
_MAX_TIME = 1e11  # Unix time: some thousand years from now
_STATUSES = (0, 1, 2)


class ReportTrouble(Enum):
    """Why there is no report."""

    OFF = "off"
    """The configuration names no file."""
    ABSENT = "absent"
    """There is no file yet."""
    UNREADABLE = "unreadable"
    """This user may not read it, or it is no file."""
    MALFORMED = "malformed"
    VERSION = "version"
    """Another alignd has written it."""


@dataclass(frozen=True, slots=True)
class ReportProblem:
    """There is no report to be shown."""

    trouble: ReportTrouble
    text: str
    """More of it, for operators; empty if there is no more to say."""


@dataclass(frozen=True, slots=True)
class SavedFinding:
    """A finding, as a report has it; that of a later alignd may have a name that is not known."""

    id: str
    severity: Severity
    what: str
    why: str
    fix: str
    """Of one line or more."""


@dataclass(frozen=True, slots=True)
class SavedTopic:
    """What a report says of one topic."""

    topic: str
    findings: tuple[SavedFinding, ...]
    unknown: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SavedReport:
    """An examination that was saved."""

    time: float
    """Unix time at which it began."""
    relay: str
    """The name of the relay."""
    status: int
    """The exit status of the examination."""
    topics: tuple[SavedTopic, ...]

    def age(self, now: float) -> float:
        """The seconds since it was made, at the Unix time *now*; 0 if a clock was set back."""
        return max(0.0, now - self.time)

    def is_stale(self, now: float) -> bool:
        """Whether it is too old to be believed, or from a time to come."""
        return not -_CLOCK_SECONDS <= now - self.time <= STALE_SECONDS


def examination_json(topics: tuple[TopicReport, ...]) -> dict[str, Any]:
    """The examination as `alignd doctor --json` prints it."""
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


def report_text(topics: tuple[TopicReport, ...], relay: str, status: int, time: float) -> str:
    """The document that is saved: that of `examination_json`, and what says whose it is."""
    head = {"version": VERSION, "time": time, "relay": relay, "exit_status": status}
    return json.dumps(head | examination_json(topics), indent=1) + "\n"


def parse_report(content: bytes) -> SavedReport | ReportProblem:
    """Read a document that anybody may have written."""
    try:
        document = json.loads(content, parse_constant=_refuse)
        if not isinstance(document, dict):
            raise _MalformedError("not an object")
        version = _integer(document, "version")
        if version != VERSION:
            return ReportProblem(ReportTrouble.VERSION, f"not of version {VERSION}")
        return _report(document)
    # UnicodeDecodeError is a ValueError, too; deep nesting is a RecursionError, and an integer
    # beyond all floating-point numbers an OverflowError.
    except (ValueError, RecursionError, OverflowError) as error:
        is_known = isinstance(error, _MalformedError)
        return ReportProblem(ReportTrouble.MALFORMED, str(error) if is_known else "not JSON")


class _MalformedError(ValueError):
    """The text says what is wrong, and quotes nothing of the document."""


def _refuse(constant: str) -> float:
    raise _MalformedError(f"{constant} is no number")


def _report(document: Mapping[str, Any]) -> SavedReport:
    time = _number(document, "time")
    if not (math.isfinite(time) and 0 < time < _MAX_TIME):
        raise _MalformedError("time: not a Unix time")
    status = _integer(document, "exit_status")
    if status not in _STATUSES:
        raise _MalformedError("exit_status: not one of doctor")
    findings: dict[str, list[SavedFinding]] = {}
    for each in _objects(document, "findings"):
        findings.setdefault(_text(each, "topic"), []).append(_finding(each))
    topics = tuple(_topic(each, findings) for each in _objects(document, "checked"))
    if findings:
        raise _MalformedError("findings: of a topic that was not checked, or that is there twice")
    return SavedReport(time, _text(document, "relay"), status, topics)


def _topic(each: Mapping[str, Any], findings: dict[str, list[SavedFinding]]) -> SavedTopic:
    name = _text(each, "topic")
    own = tuple(findings.pop(name, ()))
    if _integer(each, "findings") != len(own):
        raise _MalformedError("findings: not as many as were counted")
    return SavedTopic(
        name,
        own,
        _texts(each, "could_not_check"),
        _texts(each, "left_out"),
        _texts(each, "notes"),
    )


def _finding(each: Mapping[str, Any]) -> SavedFinding:
    try:
        severity = Severity(_text(each, "severity"))
    except ValueError:
        raise _MalformedError("severity: neither error nor warning") from None
    return SavedFinding(
        _text(each, "id"),
        severity,
        _text(each, "what"),
        _text(each, "why"),
        _text(each, "fix"),
    )


def _number(document: Mapping[str, Any], name: str) -> float:
    value = document.get(name)
    # In JSON 1 may stand for 1.0, and in Python True is an int.
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _MalformedError(f"{name}: not a number")
    return float(value)


def _integer(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _MalformedError(f"{name}: not a whole number")
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    return _checked(document.get(name), name)


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(_checked(each, name) for each in _list(document, name))


def _objects(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    objects = _list(document, name)
    if not all(isinstance(each, dict) for each in objects):
        raise _MalformedError(f"{name}: not a list of objects")
    return objects


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list) or len(value) > _MAX_ITEMS:
        raise _MalformedError(f"{name}: not a list of at most {_MAX_ITEMS}")
    return value


def _checked(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise _MalformedError(f"{name}: not a text of at most {_MAX_TEXT} characters")
    # A fix has lines. Half of a surrogate pair, which no page can have in it, is not printable.
    return "\n".join(map(printable, value.split("\n")))
