"""Decides whose mail has brought a report, which is who answers for what it says.

A report itself is signed by nobody: its own names are worth nothing. What counts is its mail,
judged as its receiver does, and only for domains in which strangers have no addresses.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

from alignd.judgement.arrival import check_signatures, judge_arrival
from alignd.judgement.author import read_author
from alignd.mail.domain import Domain
from alignd.mail.message import Message
from alignd.mailauth.dns import Lookup
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.spf import SpfEvaluator
from alignd.mailauth.ternary import Ternary

_TIME = re.compile(rb"(?:^|;)\s*t\s*=\s*(\d{1,12})\s*(?:;|$)")
"""t= of a signature (RFC 6376, section 3.5)."""


class Doubt(Enum):
    """Why nobody answers for a report."""

    NO_MAIL = "no-mail"
    """It came as a file, without its mail."""
    NO_AUTHOR = "no-author"
    """From is unreadable, or receivers read it differently."""
    MAILBOX_PROVIDER = "mailbox-provider"
    """Anybody can have an address in the domain of From."""
    FORGEABLE = "forgeable"
    """No signature, and no SPF result, of the domain of From passes."""
    DNS = "dns"
    """DNS failed: the answer may be another one later."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The mail is from *domain*, the author domain of its From."""

    domain: Domain


@dataclass(frozen=True, slots=True)
class Unverified:
    """Anybody could have sent it: it is shown, and decides nothing."""

    why: Doubt
    detail: str = ""


Carrier = Verified | Unverified


def judge_carrier(
    mail: Message | None,
    lookup: Lookup,
    suffixes: PublicSuffixes,
    providers: Container[Domain],
    now: float,
) -> Carrier:
    """Judge *mail*, which has its body, at *now* in Unix time.

    A signature that has expired since it was made still says who has written the report: who sends
    the mail again sends the same report, which is a copy.

    SPF counts only where *mail* has the client that it came from: no field of its header says that
    reliably.
    """
    if mail is None:
        return Unverified(Doubt.NO_MAIL)
    author = read_author(mail)
    domain = author.domain
    if domain is None:
        return Unverified(Doubt.NO_AUTHOR, author.detail)
    if domain in providers:
        return Unverified(Doubt.MAILBOX_PROVIDER, domain.name)
    signatures = check_signatures(mail, lookup, min(now, _signed(mail, now)), frozenset())
    arrival = judge_arrival(mail, domain, signatures, lookup, suffixes, SpfEvaluator(lookup))
    if arrival.is_authentic is Ternary.YES:
        return Verified(domain)
    if arrival.is_authentic is Ternary.UNKNOWN:
        return Unverified(Doubt.DNS, domain.name)
    said = (f"{each.domain}: {each.explanation}" for each in signatures.here)
    return Unverified(Doubt.FORGEABLE, "; ".join(said) or "no signature")


def _signed(mail: Message, now: float) -> float:
    """When the last signature on *mail* was made, as it says; *now* where none says so."""
    fields = mail.fields("DKIM-Signature")
    times = (float(found[1]) for each in fields if (found := _TIME.search(each.unfolded)))
    return max(times, default=now)
