"""Sums up what aggregate reports say of this relay's mail, in memory that is bounded.

Nothing but reports that somebody answers for decides; the others are counted apart. The ledger is
not asked, so that what alignd had predicted is not known here: see `reports.joined`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.reports.carrier import Carrier, Doubt, Verified
from alignd.reports.identity import ReportIdentity
from alignd.reports.ours import Fault, Origin, Ours, dkim_fault, passes, spf_fault
from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.receivers.rows import KeptRows
from alignd.reports.report import Disposition, Outcome, Report, Row

MAX_NAMES = 1_000
"""Domains, addresses, receivers or failures that are told one by one; the rest is one line."""
MAX_PROBLEMS = 100
"""Problems that are told with their names."""
MAX_KEYS = 1_000_000
"""Reports among which a copy is found."""

_MAX_TEXT = 200

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(slots=True)
class Figures:
    """Messages, by what DMARC said of them and what was done."""

    reports: int = 0
    messages: int = 0
    passed: int = 0
    failed: int = 0
    foretold: int = 0
    """Those of the failed that rules leave alone knowingly."""
    quarantined: int = 0
    rejected: int = 0

    @property
    def unknown(self) -> int:
        """Messages of which the report does not say whether they pass."""
        return self.messages - self.passed - self.failed

    @property
    def faults(self) -> int:
        return self.failed - self.foretold

    def add_row(self, row: Row) -> None:
        outcome = passes(row)
        self.messages += row.count
        self.passed += row.count if outcome is Outcome.PASS else 0
        self.failed += row.count if outcome is Outcome.FAIL else 0
        self.quarantined += row.count if row.disposition is Disposition.QUARANTINE else 0
        self.rejected += row.count if row.disposition is Disposition.REJECT else 0

    def add(self, other: Figures) -> None:
        self.reports += other.reports
        self.messages += other.messages
        self.passed += other.passed
        self.failed += other.failed
        self.foretold += other.foretold
        self.quarantined += other.quarantined
        self.rejected += other.rejected


class Table(Generic[_Key]):
    """Figures by key. What comes when there are MAX_NAMES of them is counted together."""

    def __init__(self) -> None:
        self._rows: dict[_Key, Figures] = {}
        self.rest = Figures()

    def figures(self, key: _Key) -> Figures:
        """The figures of *key*, to be added to."""
        found = self._rows.get(key)
        if found is None:
            if len(self._rows) >= MAX_NAMES:
                return self.rest
            found = self._rows[key] = Figures()
        return found

    def merge(self, other: Table[_Key]) -> None:
        for key, figures in other._rows.items():
            self.figures(key).add(figures)
        self.rest.add(other.rest)

    def rows(self) -> list[tuple[_Key, Figures]]:
        """Most faults first, then most messages."""
        order = [(-each.faults, -each.messages, str(key)) for key, each in self._rows.items()]
        rows = zip(order, self._rows.items(), strict=True)
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]

    def total(self) -> Figures:
        total = Figures()
        for figures in (*self._rows.values(), self.rest):
            total.add(figures)
        return total

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._rows)


@dataclass(frozen=True, slots=True)
class Failure:
    """Mail of ours that fails, and why, as the receiver saw it."""

    origin: Origin
    domain: Domain | None
    """Of From; None where the report does not say."""
    source: IpAddress
    dkim: Fault
    spf: Fault


@dataclass(slots=True)
class Tally:
    """What the rows of one report say, until it is known whether it counts."""

    ours: Ours
    rewritten: Figures = field(default_factory=Figures)
    domains: Table[Domain | None] = field(default_factory=Table)
    failures: Table[Failure] = field(default_factory=Table)
    unlisted: Table[IpAddress] = field(default_factory=Table)
    forwarded: Table[IpAddress] = field(default_factory=Table)
    foreign: Figures = field(default_factory=Figures)
    kept: KeptRows = field(default_factory=KeptRows)
    """The same for a ledger."""

    def add(self, row: Row) -> None:
        origin = self.ours.origin_of(row)
        self.kept.add(row, origin)
        self._figures(origin, row).add_row(row)
        is_ours = origin in {Origin.REWRITTEN, Origin.OURS}
        if is_ours and passes(row) is Outcome.FAIL:
            faults = dkim_fault(row), spf_fault(row)
            failure = Failure(origin, row.header_from, row.source, *faults)
            self.failures.figures(failure).add_row(row)

    def foretell(self, report: Report) -> None:
        """Take out of the faults what rules leave alone, once the policy is known."""
        for domain, figures in self.domains.rows():
            self._foretell(domain, figures, report)
        for failure, figures in self.failures.rows():
            self._foretell(failure.domain, figures, report)

    def _foretell(self, domain: Domain | None, figures: Figures, report: Report) -> None:
        if self.ours.foretells(domain, report.policy):
            figures.foretold = figures.failed

    def _figures(self, origin: Origin, row: Row) -> Figures:
        match origin:
            case Origin.REWRITTEN:
                return self.rewritten
            case Origin.OURS:
                return self.domains.figures(row.header_from)
            case Origin.UNLISTED:
                return self.unlisted.figures(row.source)
            case Origin.FORWARDED:
                return self.forwarded.figures(row.source)
            case Origin.FOREIGN:
                return self.foreign


@dataclass(frozen=True, slots=True)
class NamedProblem:
    """Something that was no report, or none that can be read."""

    name: str
    problem: ReportProblem


@dataclass(frozen=True, slots=True)
class Nobody:
    """Whom a report claims to be from for whom nobody answers, and why not."""

    organization: str
    why: Doubt
    detail: str


class Summary:
    """What all reports say together. Each counts once, however often it comes."""

    def __init__(self) -> None:
        self.begin: int | None = None
        """Unix time; of reports that count, as is all that follows."""
        self.end: int | None = None
        self.rewritten: Table[str] = Table()
        """Mail from the notifications domains, by receiver."""
        self.receivers: Table[str] = Table()
        """All mail in their reports."""
        self.domains: Table[Domain | None] = Table()
        self.failures: Table[Failure] = Table()
        self.unlisted: Table[IpAddress] = Table()
        self.forwarded: Table[IpAddress] = Table()
        self.foreign = Figures()
        self.unreadable_rows = 0
        self.unverified: Table[Nobody] = Table()
        """Messages, and those of ours that are said to fail."""
        self.duplicates = 0
        self.skipped: Counter[ProblemKind] = Counter()
        self.problems: list[NamedProblem] = []
        """The first MAX_PROBLEMS."""
        self._keys: set[bytes] = set()

    @property
    def counted(self) -> int:
        """Reports that somebody answers for."""
        return self.receivers.total().reports

    @property
    def reports(self) -> int:
        """Reports that were read, copies but once."""
        return self.counted + self.unverified.total().reports

    @property
    def has_read(self) -> bool:
        """Whether there was anything, a report or not."""
        return bool(self.reports or self.skipped.total())

    @property
    def has_outage(self) -> bool:
        """Whether rewritten mail fails."""
        return self.rewritten.total().faults > 0

    @property
    def has_fault(self) -> bool:
        """Whether mail of ours fails that no rule leaves alone."""
        return self.has_outage or self.domains.total().faults > 0

    @property
    def is_incomplete(self) -> bool:
        """Whether something could not be read or verified; what is no report does not count."""
        unread = self.skipped.total() - self.skipped[ProblemKind.NO_REPORT]
        without_dns = any(nobody.why is Doubt.DNS for nobody in self.unverified)
        return bool(unread or without_dns)

    def skip(self, name: str, problem: ReportProblem) -> None:
        self.skipped[problem.kind] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(NamedProblem(name, problem))

    def add(
        self, report: Report, carrier: Carrier, identity: ReportIdentity, tally: Tally
    ) -> bool:
        """Count *report* with the *tally* of its rows, unless it is a copy: then it is False."""
        if self._has(identity):
            self.duplicates += 1
            return False
        whole = Figures(reports=1, messages=report.messages)
        if not isinstance(carrier, Verified):
            name, detail = report.organization or identity.reporter, carrier.detail
            nobody = Nobody(name[:_MAX_TEXT], carrier.why, detail[:_MAX_TEXT])
            whole.failed = tally.rewritten.failed + tally.domains.total().failed
            self.unverified.figures(nobody).add(whole)
            return True
        self.begin = report.begin if self.begin is None else min(self.begin, report.begin)
        self.end = report.end if self.end is None else max(self.end, report.end)
        self.receivers.figures(identity.reporter).add(whole)
        self.unreadable_rows += report.unreadable_rows
        tally.foretell(report)
        if tally.rewritten.messages:
            self.rewritten.figures(identity.reporter).add(tally.rewritten)
        self.domains.merge(tally.domains)
        self.failures.merge(tally.failures)
        self.unlisted.merge(tally.unlisted)
        self.forwarded.merge(tally.forwarded)
        self.foreign.add(tally.foreign)
        return True

    def _has(self, identity: ReportIdentity) -> bool:
        digest = bytes.fromhex(identity.digest)[:16]
        if digest in self._keys:
            return True
        if len(self._keys) < MAX_KEYS:
            self._keys.add(digest)
        return False
