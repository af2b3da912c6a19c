"""Counts the rows of a report as a ledger keeps them, in memory that is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from alignd.ledger.answer import OTHER
from alignd.ledger.batch import DAY
from alignd.ledger.receivers.rows import KnownReport, ReportKey
from alignd.mail.domain import Domain
from alignd.reports.identity import ReportIdentity
from alignd.reports.ours import Origin, Ours, dkim_fault, passes, spf_fault
from alignd.reports.report import Report, Row
from alignd.reports.words import MAX_COUNT

MAX_KEYS = 1_000
"""Of one report; what comes beyond is counted without domain and address."""
_WITH_ADDRESS = frozenset({Origin.REWRITTEN, Origin.OURS, Origin.UNLISTED})
"""A forwarder's address is nobody's business here."""


class _Like(NamedTuple):
    """What a row is counted by before the policy of the report is known."""

    origin: Origin
    domain: Domain | None
    address: str
    result: str
    dkim: str
    spf: str
    disposition: str


class KeptRows:
    """The rows of one report that are of mail of ours; what others send is not kept."""

    def __init__(self) -> None:
        self._counts: Counter[_Like] = Counter()
        self._others: Counter[_Like] = Counter()
        """By origin and words alone, which are few."""

    def add(self, row: Row, origin: Origin) -> None:
        if origin is Origin.FOREIGN:
            return
        like = _Like(
            origin,
            row.header_from,
            str(row.source) if origin in _WITH_ADDRESS else "",
            passes(row).value,
            dkim_fault(row).value,
            spf_fault(row).value,
            row.disposition.value,
        )
        if like in self._counts or len(self._counts) < MAX_KEYS:
            self._counts[like] += row.count
        else:
            self._others[like._replace(domain=None, address="")] += row.count

    def rows(self, report: Report, reporter: str, ours: Ours) -> Mapping[ReportKey, int]:
        """All of them, once it is known what *report* is about and who answers for it."""
        days = _day_of(report.begin), _day_of(_last_second(report))
        rows: Counter[ReportKey] = Counter()
        for counts, unnamed in ((self._counts, ""), (self._others, OTHER)):
            for like, count in counts.items():
                name = like.domain.name if like.domain else unnamed
                # Only mail in an author's name is left alone though it fails.
                is_left = like.origin is Origin.OURS and ours.foretells(like.domain, report.policy)
                words = like.result, like.dkim, like.spf, like.disposition
                key = ReportKey(
                    *days, reporter, like.origin.value, name, like.address, *words, is_left
                )
                # A report that lies without bounds would end what a database can count.
                rows[key] = min(rows[key] + count, MAX_COUNT)
        return rows


def known(report: Report, identity: ReportIdentity) -> KnownReport:
    """What is kept of *report* itself."""
    return KnownReport(
        identity.digest,
        identity.reporter,
        report.policy.domain.name,
        report.begin,
        report.end,
        report.messages,
        _discovery(report.policy.discovery_method),
    )


def _discovery(word: str) -> str:
    return word if word in {"treewalk", "psl"} else ""


def _last_second(report: Report) -> int:
    # Some say where the next period begins.
    is_next = report.end > report.begin and report.end % DAY == 0
    return report.end - 1 if is_next else report.end


def _day_of(second: int) -> int:
    return second // DAY * DAY
