"""Reads an aggregate report, row by row, of either schema, in its namespace or in none.

What receivers really send is read as far as it can be: elements in any order, in upper case,
missing, or more often than once. Memory is bounded by one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from alignd.reports.document import read_document
from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.report import (
    Disposition,
    DkimResult,
    Outcome,
    Override,
    PublishedPolicy,
    Report,
    Row,
    SpfResult,
)
from alignd.reports.unpack import Piece, unpack
from alignd.reports.words import (
    member_of,
    read_address,
    read_count,
    read_domain,
    read_time,
    read_word,
)

MAX_ROWS = 5_000_000
MAX_TEXT = 1_000
"""Characters of an element's text; what is behind them is cut."""
MAX_ELEMENTS = 2_000
"""Elements in one row, in the other parts together, and outside the report."""
MAX_RESULTS = 100
"""Results and reasons of a kind that are kept of a row."""

_REPORT, _RECORD = "feedback", "record"
_METADATA, _POLICY = "report_metadata", "policy_published"
_SECTIONS = {_METADATA, _POLICY, _RECORD}
_CONTAINERS = {"row", "policy_evaluated", "identifiers", "identities", "auth_results"}
_GROUPS = {("policy_evaluated", "reason"), ("auth_results", "dkim"), ("auth_results", "spf")}
"""What comes several times, and in what."""
_OTHER_FAILURES = {"none", "neutral", "softfail", "hardfail", "permerror", "policy"}

Fields = dict[str, str]
"""Texts by the names of elements; the first of each name counts."""


def read_report(pieces: Iterable[Piece], on_row: Callable[[Row], None]) -> Report | ReportProblem:
    """Read a report, packed or plain, from *pieces*, and hand each row to *on_row*.

    Rows come before it is known whether the report is whole: where the result is a problem, they
    do not count.

    Raises:
        MissingLibraryError: lxml is not installed.
    """
    reader = _Reader(on_row)
    return read_document(unpack(pieces), reader) or reader.report()


@dataclass(slots=True)
class _Groups:
    """What stands in a part of the report: texts of its own, and of the groups within it."""

    fields: Fields = field(default_factory=dict)
    reasons: list[Fields] = field(default_factory=list)
    dkim: list[Fields] = field(default_factory=list)
    spf: list[Fields] = field(default_factory=list)

    def of(self, name: str) -> list[Fields]:
        return {"reason": self.reasons, "dkim": self.dkim}.get(name, self.spf)


class _Reader:
    """The `Handler` of a report.

    What counts is what began last, not what is inside what: where one element never ends, libxml2
    has all that follow end too late. The report's element may be inside others, such as its XSD.
    """

    def __init__(self, on_row: Callable[[Row], None]) -> None:
        self._on_row = on_row
        self._text: list[str] = []
        self._left = MAX_TEXT
        self._elements = self._others = 0
        self._section = self._container = self._group_name = ""
        self._record = _Groups()
        self._group: Fields = {}
        self._parts: dict[str, Fields] = {_METADATA: {}, _POLICY: {}}
        self._rows = self._messages = self._unreadable = 0
        self.has_begun = False
        self.is_done = False

    def start(self, name: str) -> ReportProblem | None:
        self._text.clear()
        self._left = MAX_TEXT
        if name in _SECTIONS and self.has_begun:
            problem = self._end_section()
            self._begin_section(name)
            return problem
        if self._section == _RECORD:
            self._elements += 1
            self._start_in_record(name)
            if self._elements > MAX_ELEMENTS:
                return _too_large(f"a row has more than {MAX_ELEMENTS} elements")
        else:
            self.has_begun = self.has_begun or name == _REPORT
            self._others += 1
            if self._others > MAX_ELEMENTS:
                return _too_large(f"it has more than {MAX_ELEMENTS} elements outside rows")
        return None

    def text(self, text: str) -> None:
        if self._left > 0:
            self._text.append(text[: self._left])
            self._left -= len(text)

    def end(self, name: str) -> ReportProblem | None:
        text = "".join(self._text).strip() if self._text else ""
        self._text.clear()
        self._left = MAX_TEXT
        if name in {self._section, _REPORT}:
            self.is_done = self.is_done or (name == _REPORT and self.has_begun)
            return self._end_section()
        if self._section == _RECORD:
            self._end_in_record(name, text)
        elif text and self._section:
            self._parts[self._section].setdefault(name, text)
        return None

    def finish(self) -> ReportProblem | None:
        self.is_done = True
        return self._end_section()

    def _begin_section(self, name: str) -> None:
        self._section = name
        self._elements = 0
        self._record = _Groups()
        self._leave_group()
        self._container = ""

    def _end_section(self) -> ReportProblem | None:
        was_record = self._section == _RECORD
        self._section = ""
        return self._end_row() if was_record else None

    def _start_in_record(self, name: str) -> None:
        if name in _CONTAINERS:
            self._container = name
            self._leave_group()
        elif (self._container, name) in _GROUPS:
            self._group, self._group_name = {}, name
            kept = self._record.of(name)
            if len(kept) < MAX_RESULTS:
                kept.append(self._group)

    def _end_in_record(self, name: str, text: str) -> None:
        if name == self._group_name:
            # Some write the reason as a bare text.
            if text and name == "reason":
                self._group.setdefault("type", text)
            self._leave_group()
        elif name == self._container:
            self._container = ""
        elif text:
            self._group.setdefault(name, text)

    def _leave_group(self) -> None:
        self._group, self._group_name = self._record.fields, ""

    def report(self) -> Report | ReportProblem:
        """The report, once all is read."""
        found, policy = self._parts[_METADATA], self._parts[_POLICY]
        domain = read_domain(policy.get("domain", ""))
        if domain is None:
            return _incomplete("it does not say which domain it is about")
        begin, end = read_time(found.get("begin", "")), read_time(found.get("end", ""))
        if begin is None or end is None:
            return _incomplete("it does not say which time it is about")
        if end < begin:
            return _incomplete("its time ends before it begins")
        email = found.get("email", "")
        email_domain = read_domain(email) if "@" in email else None
        return Report(
            found.get("org_name", ""),
            email_domain,
            found.get("report_id", ""),
            begin,
            end,
            PublishedPolicy(
                domain,
                adkim=read_word(policy.get("adkim", "")),
                aspf=read_word(policy.get("aspf", "")),
                p=read_word(policy.get("p", "")),
                sp=read_word(policy.get("sp", "")),
                np=read_word(policy.get("np", "")),
                pct=read_word(policy.get("pct", "")),
                testing=read_word(policy.get("testing", "")),
                discovery_method=read_word(policy.get("discovery_method", "")),
            ),
            self._rows,
            self._messages,
            self._unreadable,
        )

    def _end_row(self) -> ReportProblem | None:
        row = _row(self._record)
        if self._rows + self._unreadable >= MAX_ROWS:
            return _too_large(f"it has more than {MAX_ROWS} rows")
        if row is None:
            self._unreadable += 1
        else:
            self._rows += 1
            self._messages += row.count
            self._on_row(row)
        return None


def _row(record: _Groups) -> Row | None:
    fields = record.fields
    source = read_address(fields.get("source_ip", ""))
    count = read_count(fields.get("count", ""))
    if source is None or count is None:
        return None
    return Row(
        source,
        count,
        member_of(Disposition, fields.get("disposition", ""), Disposition.UNKNOWN),
        _outcome(fields.get("dkim", "")),
        _outcome(fields.get("spf", "")),
        tuple(
            Override(read_word(each.get("type", "")), each.get("comment", ""))
            for each in record.reasons
            if each
        ),
        read_domain(fields.get("header_from", "")),
        read_domain(fields.get("envelope_from", "")),
        tuple(
            DkimResult(
                read_domain(each.get("domain", "")),
                read_word(each.get("selector", "")),
                _result(each),
            )
            for each in record.dkim
            if each
        ),
        tuple(
            SpfResult(
                read_domain(each.get("domain", "")),
                read_word(each.get("scope", "")),
                _result(each),
            )
            for each in record.spf
            if each
        ),
    )


def _outcome(text: str) -> Outcome:
    """Some write the result of the mechanism itself there, of which all but a pass fail."""
    if read_word(text) in _OTHER_FAILURES:
        return Outcome.FAIL
    return member_of(Outcome, text, Outcome.UNKNOWN)


def _result(fields: Fields) -> str:
    word = read_word(fields.get("result", "")) or "unknown"
    return "fail" if word == "hardfail" else word


def _too_large(text: str) -> ReportProblem:
    return ReportProblem(ProblemKind.TOO_LARGE, text)


def _incomplete(text: str) -> ReportProblem:
    return ReportProblem(ProblemKind.INCOMPLETE, text)
