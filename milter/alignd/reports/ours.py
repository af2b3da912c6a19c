"""Tells what a row of a report is about: mail of this relay, and of which kind, or another's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from alignd.config.opendkim import SigningTables
from alignd.config.settings import Configuration, RewriteOn
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.reports.report import DkimResult, Outcome, PublishedPolicy, Row


class Origin(Enum):
    """Where the mail of a row is from."""

    REWRITTEN = "rewritten"
    """From an address of ours, and of the notifications domain."""
    OURS = "ours"
    """From an address of ours, and of an author's own domain."""
    UNLISTED = "unlisted"
    """Signed with a key of ours, from an address that SPF authorises and that the configuration
    does not have."""
    FORWARDED = "forwarded"
    """Signed with a key of ours, from an address that SPF does not authorise."""
    FOREIGN = "foreign"
    """Of others, who may send in the same name."""


class Fault(Enum):
    """What a mechanism, DKIM or SPF, did for the mail of a row."""

    PASS = "pass"  # noqa: S105  # no password
    NONE = "none"
    """There was no signature, or no SPF record."""
    NOT_ALIGNED = "not-aligned"
    """It passed, for another domain."""
    DNS = "dns"
    """The receiver could not get the key or the record."""
    FAIL = "fail"
    """The published key does not verify the signature; the record does not authorise the
    address."""


@dataclass(frozen=True, slots=True)
class Ours:
    """What is ours by the configuration, those of all tenants together."""

    addresses: frozenset[IpAddress]
    domains: frozenset[Domain]
    """Those that rewritten mail is from."""
    keys: frozenset[tuple[str, str]]
    """d= and s= of our keys, in lower case; d= is empty for any domain."""
    exempt: frozenset[Domain] = frozenset()
    """Author domains whose mail is left alone, whatever becomes of it."""
    leaves_monitored: bool = False
    """Whether mail may fail where the policy of the author domain asks for nothing."""

    @classmethod
    def of(cls, configuration: Configuration, tables: SigningTables | None) -> Ours:
        """What *configuration*, and the *tables* of its signer, say of it."""
        settings = configuration.all_settings
        domains = frozenset(name for each in settings for name in each.own_domains)
        keys = {(each.domain.name, each.selector.lower()) for each in configuration.dkim.signs}
        if configuration.dkim.delegate:
            keys.add(("", configuration.dkim.delegate.selector.lower()))
        if tables:
            keys.update(tables.names_of_keys())
        return cls(
            frozenset(address for each in settings for address in each.relay.addresses),
            domains,
            frozenset(keys),
            frozenset(name for each in settings for name in each.rules.exempt),
            any(each.rules.rewrite_on is RewriteOn.ENFORCED for each in settings),
        )

    def origin_of(self, row: Row) -> Origin:
        if row.source in self.addresses:
            return Origin.REWRITTEN if row.header_from in self.domains else Origin.OURS
        if not any(map(self._is_our_signature, row.dkim_results)):
            return Origin.FOREIGN
        return Origin.UNLISTED if self._is_authorised(row) else Origin.FORWARDED

    def foretells(self, domain: Domain | None, policy: PublishedPolicy) -> bool:
        """Whether rules say that mail of *domain* is to be left alone although it fails."""
        if domain is not None and any(domain.is_within(each) for each in self.exempt):
            return True
        asks_nothing = policy.p == "none" and policy.sp in {"", "none"}
        return self.leaves_monitored and asks_nothing and domain not in self.domains

    def _is_our_signature(self, found: DkimResult) -> bool:
        domain, selector = found.domain, found.selector
        if domain is None or found.result != "pass":
            return False
        if (domain.name, selector) in self.keys or ("", selector) in self.keys:
            return True
        # Where nothing is known of the keys of a domain of ours, all of them are; and where the
        # receiver leaves the selector out, as rspamd 3.4 does, its key is one of them.
        is_told_apart = selector and any(name == domain.name for name, _ in self.keys)
        return domain in self.domains and not is_told_apart

    def _is_authorised(self, row: Row) -> bool:
        """Whether SPF passes for the author domain, or for one of ours; not for a forwarder's."""
        return row.spf is Outcome.PASS or any(
            each.result == "pass"
            and each.domain is not None
            and any(each.domain.is_within(own) for own in self.domains)
            for each in row.spf_results
        )


def passes(row: Row) -> Outcome:
    """Whether a row passes DMARC: an aligned identifier is enough."""
    if Outcome.PASS in {row.dkim, row.spf}:
        return Outcome.PASS
    return Outcome.UNKNOWN if Outcome.UNKNOWN in {row.dkim, row.spf} else Outcome.FAIL


def dkim_fault(row: Row) -> Fault:
    return _fault(row.dkim, (each.result for each in row.dkim_results))


def spf_fault(row: Row) -> Fault:
    return _fault(row.spf, (each.result for each in row.spf_results))


def _fault(outcome: Outcome, results: Iterable[str]) -> Fault:
    found = set(results) - {"none", "unknown"}
    if outcome is Outcome.PASS:
        return Fault.PASS
    if not found:
        return Fault.NONE
    if "pass" in found:
        return Fault.NOT_ALIGNED
    return Fault.DNS if "temperror" in found else Fault.FAIL
