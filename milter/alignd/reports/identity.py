"""Tells whether a report has come before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from alignd.mail.domain import Domain
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.reports.carrier import Carrier, Verified
from alignd.reports.report import Report


@dataclass(frozen=True, slots=True)
class ReportIdentity:
    """What a report has in common with its copies, and with no other report."""

    reporter: str
    """The organizational domain of who sent it."""
    is_verified: bool
    """Part of the key, so that a forged report never stands in the way of the real one."""
    report_id: str
    policy_domain: Domain
    begin: int

    @property
    def digest(self) -> str:
        """The same in 64 characters, today and in later runs."""
        names = self.reporter, self.report_id, self.policy_domain.name
        text = json.dumps([*names, self.is_verified, self.begin])
        return hashlib.sha256(text.encode()).hexdigest()


def identity_of(report: Report, carrier: Carrier, suffixes: PublicSuffixes) -> ReportIdentity:
    """The key of *report*, which *carrier* has brought.

    Of a report that anybody could have sent, the names that it gives itself stand for its sender.
    """
    is_verified = isinstance(carrier, Verified)
    domain = carrier.domain if isinstance(carrier, Verified) else report.email_domain
    reporter = suffixes.registered_domain(domain).name if domain else report.organization.lower()
    names = report.report_id, report.policy.domain
    return ReportIdentity(reporter, is_verified, *names, report.begin)
