"""DMARC by RFC 7489, with a public suffix list, as most receivers still evaluate it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import Discovery, DmarcRecord, Policy, records_at
from alignd.mailauth.dns import Lookup, LookupFailed


class PublicSuffixes(Protocol):
    """A list of the domains below which anybody can register a name."""

    def registered_domain(self, domain: Domain) -> Domain:
        """Keep the public suffix of *domain* and one label more; all of *domain* if it is one."""
        ...


@dataclass(frozen=True, slots=True)
class Rfc7489:
    """The `Model` of RFC 7489."""

    lookup: Lookup
    suffixes: PublicSuffixes

    def organizational_domain(self, domain: Domain) -> Domain:
        """Find the organizational domain, section 3.2."""
        return self.suffixes.registered_domain(domain)

    def discover(self, author_domain: Domain) -> Discovery:
        """Find the policy, section 6.6.3."""
        organization = self.organizational_domain(author_domain)
        found, owner = records_at(author_domain, self.lookup), author_domain
        if found == () and organization != author_domain:  # step 3
            found, owner = records_at(organization, self.lookup), organization
        if isinstance(found, LookupFailed):
            return Discovery(Policy.UNKNOWN, None, organization, None)
        # Step 5: several records end the discovery; the organizational domain is not tried then.
        if len(found) != 1:
            return Discovery(Policy.ABSENT, None, organization, None)
        # This RFC does not know np: its receivers ignore the tag, so a bad value does no harm.
        record = DmarcRecord.from_tags(
            {name: value for name, value in found[0].items() if name != "np"}
        )
        policy = record.policy if owner == author_domain else record.subdomain_policy
        record_domain = None if policy is Policy.ABSENT else owner
        return Discovery(policy, record_domain, organization, record)
