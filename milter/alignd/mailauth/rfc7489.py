"""DMARC as in RFC 7489, with a public suffix list: what most receivers still compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import Discovery, Policy, read_record, records_at
from alignd.mailauth.dns import Lookup, LookupFailed


class PublicSuffixes(Protocol):
    """A public suffix list."""

    def registered_domain(self, domain: Domain) -> Domain:
        """The public suffix of *domain* and one label more, or *domain* if it is a suffix."""
        ...


@dataclass(frozen=True, slots=True)
class Rfc7489:
    """The model of RFC 7489."""

    lookup: Lookup
    suffixes: PublicSuffixes

    def organizational_domain(self, domain: Domain) -> Domain:
        """The organizational domain, section 3.2."""
        return self.suffixes.registered_domain(domain)

    def discover(self, author_domain: Domain) -> Discovery:
        """Find the policy, section 6.6.3."""
        organization = self.organizational_domain(author_domain)
        found, place = records_at(author_domain, self.lookup), author_domain
        if found == () and organization != author_domain:  # step 3
            found, place = records_at(organization, self.lookup), organization
        if isinstance(found, LookupFailed):
            return Discovery(Policy.UNKNOWN, None, organization, None)
        # Step 5: discovery ends at several records, even when another place has a single one.
        if len(found) != 1:
            return Discovery(Policy.ABSENT, None, organization, None)
        # A receiver of this RFC does not know np, so that a bad one spoils nothing.
        record = read_record({name: value for name, value in found[0].items() if name != "np"})
        policy = record.policy if place == author_domain else record.subdomain_policy
        record_domain = None if policy is Policy.ABSENT else place
        return Discovery(policy, record_domain, organization, record)
