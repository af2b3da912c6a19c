"""Reads what may be reports, one after the other, into a summary, and has each kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alignd.ledger.receivers.rows import KnownReport, ReportKey
from alignd.mail.message import Message
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.reports.carrier import Carrier, Doubt, Unverified, Verified
from alignd.reports.identity import identity_of
from alignd.reports.intake import Found, ParcelProblem
from alignd.reports.ours import Ours
from alignd.reports.problem import ReportProblem
from alignd.reports.read import read_report
from alignd.reports.receivers.rows import known
from alignd.reports.summary import Summary, Tally

Judge = Callable[[Message | None], Carrier]
"""Says who answers for a report that this mail has brought."""
Keep = Callable[[KnownReport, Mapping[ReportKey, int]], None]
"""Keeps a report that somebody answers for, with its messages, unless it has it already."""


def keep_nothing(report: KnownReport, rows: Mapping[ReportKey, int]) -> None:
    """Only look."""


class Collector:
    """Sums up reports. The reports in one mail come one after the other."""

    def __init__(
        self, ours: Ours, judge: Judge, suffixes: PublicSuffixes, keep: Keep = keep_nothing
    ) -> None:
        self.summary = Summary()
        self._ours = ours
        self._judge = judge
        self._suffixes = suffixes
        self._keep = keep
        self._last: tuple[Message | None, Carrier] | None = None

    def take(self, found: Found) -> bool:
        """Read what was *found*, and say whether it is done with: a report, and DNS did not fail.

        Raises:
            MissingLibraryError: lxml is not installed.
        """
        if isinstance(found, ParcelProblem):
            self.summary.skip(found.name, found.problem)
            return False
        tally = Tally(self._ours)
        report = read_report(found.pieces, tally.add)
        if isinstance(report, ReportProblem):
            self.summary.skip(found.name, report)
            return False
        carrier = self._carrier(found.mail)
        identity = identity_of(report, carrier, self._suffixes)
        is_new = self.summary.add(report, carrier, identity, tally)
        if is_new and isinstance(carrier, Verified):
            rows = tally.kept.rows(report, identity.reporter, self._ours)
            self._keep(known(report, identity), rows)
        return not (isinstance(carrier, Unverified) and carrier.why is Doubt.DNS)

    def _carrier(self, mail: Message | None) -> Carrier:
        if self._last is None or self._last[0] is not mail:
            self._last = (mail, self._judge(mail))
        return self._last[1]
