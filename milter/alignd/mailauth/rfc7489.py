"""DMARC by RFC 7489, with a public suffix list, as most receivers still evaluate it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import Discovery, DmarcRecord, DmarcRecords, Policy, Reading
from alignd.mailauth.dns import LookupFailed


class PublicSuffixes(Protocol):
    """A list of the domains below which anybody can register a name."""

    def registered_domain(self, domain: Domain) -> Domain:
        """Keep the public suffix of *domain* and one label more; all of *domain* if it is one."""
        ...


@dataclass(frozen=True, slots=True)
class Rfc7489:
    """The `Model` of RFC 7489."""

    records: DmarcRecords
    suffixes: PublicSuffixes
    reading: Reading = Reading.EXACT

    def organizational_domain(self, domain: Domain) -> Domain:
        """Find the organizational domain, section 3.2."""
        return self.suffixes.registered_domain(domain)

    def discover(self, author_domain: Domain) -> Discovery:
        """Find the policy, section 6.6.3."""
        organization = self.organizational_domain(author_domain)
        found, owner = self.records.at(author_domain, self.reading), author_domain
        if found == () and organization != author_domain:  # step 3
            found, owner = self.records.at(organization, self.reading), organization
        if isinstance(found, LookupFailed):
            return Discovery(Policy.UNKNOWN, None, organization, None)
        # Step 5: several records end the discovery; the organizational domain is not tried then.
        if len(found) != 1:
            return Discovery(Policy.ABSENT, None, organization, None)
        record = DmarcRecord.from_tags(found[0])
        policy = record.policy if owner == author_domain else record.subdomain_policy
        return Discovery(policy, owner, organization, record)
