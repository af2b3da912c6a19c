"""The public suffix list, as its package ships it."""

from __future__ import annotations

from publicsuffixlist import PublicSuffixList

from alignd.domain import Domain


class SuffixList:
    """A public suffix list; reading it takes about 50 ms, so make it once."""

    def __init__(self) -> None:
        self._list = PublicSuffixList()

    def registered_domain(self, domain: Domain) -> Domain:
        """The public suffix of *domain* and one label more, or *domain* if it is a suffix.

        A top-level domain that the list does not know counts as a suffix (its rule `*`).
        """
        found = self._list.privatesuffix(domain.name)
        return Domain(found) if found else domain
