"""Why something that was taken for an aggregate report is none that counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ProblemKind(Enum):
    """What is wrong, for summaries."""

    UNREADABLE = "unreadable"
    """The file cannot be read."""
    NO_REPORT = "no-report"
    """Nothing in it looks like a report."""
    TOO_LARGE = "too-large"
    """It is larger, deeper or longer than any honest report."""
    UNSUPPORTED = "unsupported"
    """A way of packing that nobody should use."""
    DAMAGED = "damaged"
    """It is cut off or broken."""
    DOCUMENT_TYPE = "document-type"
    """It declares a document type, which is where entities come from."""
    INCOMPLETE = "incomplete"
    """What a report cannot do without is missing or makes no sense."""


@dataclass(frozen=True, slots=True)
class ReportProblem:
    """Why there is no report, in a word and for people."""

    kind: ProblemKind
    text: str
