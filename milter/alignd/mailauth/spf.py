"""Evaluates SPF (RFC 7208) for one client address and one envelope sender.

pyspf does the evaluation. This module gives it a `Lookup` for its DNS, and overrules it where it
is more lenient than the RFC or than other evaluators: only `pass` counts for DMARC, so the
stricter result is safe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

import spf

from alignd.mail.domain import Domain, DomainError
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, Record, RecordType
from alignd.mailauth.spf_record import MACRO

_NAMED_ONCE = re.compile(r"(?:^|\s)(redirect|exp)=", re.IGNORECASE)
_MAX_LABEL, _MAX_NAME = 63, 253  # octets, RFC 1035, section 2.3.4


class SpfResult(Enum):
    """The results of RFC 7208, section 2.6."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Spf:
    """The SPF result for one relay address, and how it came about."""

    address: IpAddress
    result: SpfResult
    domain: Domain | None
    """The domain whose record was evaluated; None when the envelope sender has no domain."""
    explanation: str
    """For people: the term that decided, or what is wrong with the record."""
    void_lookups: int = 0
    """Lookups that found no record; the third makes a permerror (section 4.6.4)."""

    @property
    def counts(self) -> bool:
        """Whether every receiver takes the result for a pass.

        rspamd does not where `+all` decided, which passes the whole world.
        """
        return self.result is SpfResult.PASS and self.explanation.lower() not in {"all", "+all"}


def evaluate_spf(address: IpAddress, envelope_sender: str, helo: Domain, lookup: Lookup) -> Spf:
    """Evaluate check_host() for mail of *envelope_sender* that leaves from *address*.

    A null *envelope_sender* (an empty string) stands for postmaster at the HELO name.
    """
    local_part, domain = spf_identity(envelope_sender, helo)
    if domain is None or len(domain.labels) == 1:
        # RFC 7208, section 4.3: malformed, or not a multi-label name.
        return Spf(address, SpfResult.NONE, domain, "no domain that could have a record")
    query = _Query(address, local_part, domain, helo, lookup)
    try:
        code, _, text = query.check()
    except Exception as error:  # a record that breaks the evaluator does not pass
        return Spf(address, SpfResult.PERMERROR, domain, f"evaluation failed: {error!r}")
    if code == "pass" and query.doubt:
        return Spf(address, SpfResult.TEMPERROR, domain, query.doubt)
    explanation = query.mechanism or text or "no SPF record"
    return Spf(address, SpfResult(code), domain, explanation, query.void_lookups)


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
    query = _Query(address, local_part, sender_domain or helo, helo, lookup)
    query.d = domain.name
    try:
        return str(query.expand_domain(domain_spec)).lower()
    except (spf.PermError, spf.TempError):
        return ""


def spf_identity(envelope_sender: str, helo: Domain) -> tuple[str, Domain | None]:
    """Split what SPF checks into local part and domain, RFC 7208, sections 2.4 and 4.3."""
    if not envelope_sender:
        return "postmaster", helo
    # After the last "@": a quoted local part may contain one.
    local_part, _, domain = envelope_sender.rpartition("@")
    try:
        return local_part or "postmaster", Domain.parse(domain)
    except DomainError:
        return local_part, None


class _Query(spf.query):  # type: ignore[misc]  # pyspf has no types
    """pyspf's evaluation with a Lookup for its DNS, and stricter where the module says so.

    The methods without an underscore override those of pyspf.
    """

    def __init__(
        self,
        address: IpAddress,
        local_part: str,
        domain: Domain,
        helo: Domain,
        lookup: Lookup,
    ) -> None:
        sender = f"{local_part}@{domain}"
        super().__init__(i=str(address), s=sender, h=helo.name)
        # pyspf splits at the first "@", and a quoted local part may contain one.
        self.l, self.o, self.d = local_part, domain.name, domain.name
        self._lookup = lookup
        self.doubt = ""
        """The DNS failure that is an error to some receivers, though not by the RFC."""

    def dns(
        self, name: str, qtype: str, cnames: Any = None, ignore_void: bool = False
    ) -> list[Any]:
        """Answer in pyspf's shapes, in place of its own resolver."""
        del cnames  # the Lookup follows them
        name = str(name).removesuffix(".").lower()
        if not _could_exist(name):
            return []
        answer = self._lookup.look_up(name, RecordType(qtype))
        if isinstance(answer, LookupFailed):
            raise spf.TempError(f"{qtype} {name}: {answer.reason}")
        if not answer.records and not ignore_void:
            self._count_void_lookup()
        return [_shape(record) for record in answer.records]

    def _count_void_lookup(self) -> None:
        # RFC 7208, section 4.6.4, counted strictly: every empty answer, of any term, each time.
        self.void_lookups += 1
        if self.void_lookups > spf.MAX_VOID_LOOKUPS:
            raise spf.PermError(f"more than {spf.MAX_VOID_LOOKUPS} void lookups")

    def dns_a(self, domainname: str, A: str = "A") -> list[Any]:  # noqa: N803  pyspf's name
        """Look up a host; that of a null MX (RFC 7505) is a void lookup, as some count it."""
        if not domainname:
            self._count_void_lookup()
        return list(super().dns_a(domainname, A))

    def expand(self, s: str, stripdot: bool = True) -> str:
        """Expand macros. A malformed one is an error, where pyspf would take it for text."""
        # RFC 7208, section 7.1: a syntax error of a macro makes the record a permerror.
        if "%" in MACRO.sub("", s):
            raise spf.PermError("malformed macro", s)
        return str(super().expand(s, stripdot))

    def check0(self, record: str, recursion: int) -> Any:
        """Evaluate *record*, which pyspf lets have both `redirect=` and `Redirect=`."""
        # RFC 7208, sections 4.6.1 and 6: names ignore case, and these two may stand once.
        names = [name.lower() for name in _NAMED_ONCE.findall(record or "")]
        if len(set(names)) != len(names):
            raise spf.PermError("redirect= and exp= may stand once")
        return super().check0(record, recursion)

    def validated_ptrs(self) -> list[str]:
        """Look up the names of the client address that resolve back to it, at most ten.

        By RFC 7208, section 5.5, a name whose lookup fails is skipped. Receivers with pyspf or
        Mail::SPF make it a temporary error, so that a pass that follows is not one everywhere.
        """
        try:
            names = self.dns_ptr(self.i)[: spf.MAX_PTR]
        except spf.TempError as error:
            self.doubt = str(error)
            return []
        return [name for name in names if self._points_back(name)]

    def _points_back(self, name: str) -> bool:
        try:
            return bool(self.cidrmatch(self.dns_a(name, self.A), self.cidrmax))
        except spf.TempError as error:
            self.doubt = str(error)
            return False

    def get_explanation(self, spec: str) -> None:
        """Fetch nothing: an explanation cannot change the result (RFC 7208, section 6.2)."""
        del spec


def _could_exist(name: str) -> bool:
    # Macros can make names that DNS cannot hold. Those of a local part that is not ASCII match
    # nothing (RFC 8616, section 4).
    return (
        name.isascii()
        and len(name) <= _MAX_NAME
        and all(0 < len(label) <= _MAX_LABEL for label in name.split("."))
    )


def _shape(record: Record) -> Any:
    if isinstance(record, bytes):
        return (record,)
    if isinstance(record, MailExchange):
        return (record.preference, record.host)
    return record
