"""Evaluates SPF (RFC 7208) for the address of a client and one envelope sender.

Only a pass counts for DMARC, so where receivers differ the stricter result is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alignd.mail.domain import Domain, DomainError
from alignd.mail.ip_address import IpAddress
from alignd.mail.printable import printable
from alignd.mailauth.dns import Lookup
from alignd.mailauth.spf_check import CheckHost, SpfResult, Workshop

__all__ = ["Spf", "SpfEvaluator", "SpfResult", "evaluate_spf", "expand_macros", "spf_identity"]

MAX_SECONDS = 0.25
"""Processor time of all the evaluations of one judgement. The worst domain takes a tenth of it, a
sane one less than a hundredth. Python collects garbage on the time of whichever thread allocates:
with 100,000 objects that took 54 ms, for which no message may be rewritten."""
_NO_HELO = "unknown"  # for %{h}
_MAX_EXPLANATION = 200  # characters: it is kept with a judgement, and an owner can publish 60 kB


@dataclass(frozen=True, slots=True)
class Spf:
    """The SPF result for one address, and how it came about."""

    address: IpAddress
    result: SpfResult
    domain: Domain | None
    """The domain whose record was evaluated; None when the envelope sender has no domain."""
    explanation: str
    """For people: the term that decided, or what is wrong with the record. Printable and short."""
    void_lookups: int = 0
    """Lookups that found no record; the third makes a permerror (section 4.6.4)."""
    doubt: str = ""
    """For people: why some receivers do not take a pass for one; empty when all do."""

    @property
    def counts(self) -> bool:
        """Whether every receiver takes the result for a pass."""
        return self.result is SpfResult.PASS and not self.doubt


class SpfEvaluator:
    """Evaluates SPF for one judgement, within its processor time."""

    def __init__(self, lookup: Lookup, processor_time: Callable[[], float] = lambda: 0.0) -> None:
        """*processor_time* is that of this thread; a clock that stands sets no limit."""
        self._workshop = Workshop(lookup, processor_time, processor_time() + MAX_SECONDS)
        self.saw_local_part = False
        """Whether a result so far may be another for another local part in the same domain."""

    def evaluate(self, address: IpAddress, envelope_sender: str, helo: Domain | None) -> Spf:
        """Evaluate check_host() for mail of *envelope_sender* that leaves from *address*.

        A null *envelope_sender* (an empty string) stands for postmaster at the HELO name, which
        is None where a client says something else.
        """
        local_part, domain = spf_identity(envelope_sender, helo)
        if domain is None or len(domain.labels) == 1:
            # RFC 7208, section 4.3: malformed, or not a multi-label name.
            return Spf(address, SpfResult.NONE, domain, "no domain that could have a record")
        helo_name = helo.name if helo else _NO_HELO
        check = CheckHost(self._workshop, address, local_part, domain.name, helo_name)
        found = check.run()
        self.saw_local_part |= check.saw_local_part
        return Spf(
            address,
            found.result,
            domain,
            _short(found.explanation),
            check.void_lookups,
            _short(found.doubt),
        )


def evaluate_spf(address: IpAddress, envelope_sender: str, helo: Domain, lookup: Lookup) -> Spf:
    """Evaluate one address alone, without a limit of time."""
    return SpfEvaluator(lookup).evaluate(address, envelope_sender, helo)


def expand_macros(
    domain_spec: str,
    domain: Domain,
    address: IpAddress,
    envelope_sender: str,
    helo: Domain,
    lookup: Lookup,
) -> str:
    """Expand *domain_spec* in the record of *domain* to a name; empty when it has an error."""
    local_part, sender_domain = spf_identity(envelope_sender, helo)
    workshop = Workshop(lookup, lambda: 0.0, MAX_SECONDS)
    check = CheckHost(workshop, address, local_part, (sender_domain or helo).name, helo.name)
    return check.expansion(domain_spec, domain.name)


def spf_identity(envelope_sender: str, helo: Domain | None) -> tuple[str, Domain | None]:
    """Split what SPF checks into local part and domain, RFC 7208, sections 2.4 and 4.3."""
    if not envelope_sender:
        return "postmaster", helo
    # After the last "@": a quoted local part may contain one.
    local_part, _, domain = envelope_sender.rpartition("@")
    try:
        return local_part or "postmaster", Domain.parse(domain)
    except DomainError:
        return local_part, None


def _short(text: str) -> str:
    """Cut *text*, which may hold anything that DNS does, to what a log can take."""
    return printable(text[:_MAX_EXPLANATION])
