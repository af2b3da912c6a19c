"""An aggregate report as values: RFC 7489, appendix C, and RFC 9990.

A word that is missing or that nobody knows is UNKNOWN, and never a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress


class Outcome(Enum):
    """Whether an aligned identifier passed, as DMARC evaluated it."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNKNOWN = "unknown"


class Disposition(Enum):
    """What was done with the mail."""

    NONE = "none"
    """Nothing, because the policy asks for nothing or was not applied."""
    PASS = "pass"  # noqa: S105  # no password
    """It passed DMARC (RFC 9990); by RFC 7489 that is none."""
    QUARANTINE = "quarantine"
    REJECT = "reject"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Override:
    """Why the policy was not followed."""

    type: str
    """In lower case, such as "local_policy"; empty where it is missing."""
    comment: str


@dataclass(frozen=True, slots=True)
class DkimResult:
    """The result of one signature."""

    domain: Domain | None
    """d=; None where it is missing or no domain."""
    selector: str
    result: str
    """In lower case, such as "permerror"; "unknown" where it is missing."""


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The result of SPF for one identity."""

    domain: Domain | None
    scope: str
    """"mfrom" or "helo", or what it says in lower case; empty where it is missing."""
    result: str
    """As of DKIM."""


@dataclass(frozen=True, slots=True)
class Row:
    """Messages that had the same source, identifiers and results."""

    source: IpAddress
    """An IPv4-mapped address is IPv4."""
    count: int
    """At least 1."""
    disposition: Disposition
    dkim: Outcome
    spf: Outcome
    overrides: tuple[Override, ...]
    header_from: Domain | None
    envelope_from: Domain | None
    """None where it is missing, and of a null sender."""
    dkim_results: tuple[DkimResult, ...]
    spf_results: tuple[SpfResult, ...]


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """The policy that the receiver found; words in lower case, empty where they are missing."""

    domain: Domain
    adkim: str
    aspf: str
    p: str
    sp: str
    np: str
    pct: str
    testing: str
    discovery_method: str
    """"treewalk" or "psl" (RFC 9990): by which of the two RFCs it was found."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one report says of itself; its rows have been handed over as they were read."""

    organization: str
    """Its name in its own words: nobody has checked them."""
    email_domain: Domain | None
    """Of the address that it gives: nobody has checked that, either."""
    report_id: str
    begin: int
    """Unix time."""
    end: int
    """Unix time, not before `begin`."""
    policy: PublishedPolicy
    rows: int
    messages: int
    unreadable_rows: int
    """Rows without a usable source or count, which were not handed over."""
