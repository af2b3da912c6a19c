"""Finds the DNS host of a domain, and whether it applies our template (draft-03, sections 7, 8.2).

What does not answer is unknown, which is never the same as a no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignd.domain_connect.fetch import NOT_FOUND, SUCCESS, Fetch, FetchFailed
from alignd.domain_connect.provider import DnsProvider, SettingsError, parse_settings
from alignd.domain_connect.template import TemplateId
from alignd.domain_connect.url import UrlError, UrlPrefix
from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at

MAX_ZONES = 5
"""Names from the domain upwards that are asked: a zone begins at one of the shortest."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a domain is: its zone, and the host that has it."""

    zone: Domain
    host: str
    """The labels of the domain before its zone; empty for the zone itself."""
    provider: DnsProvider


@dataclass(frozen=True, slots=True)
class Offer:
    """The DNS host of a domain applies our template when its user has agreed."""

    place: Place
    sync_ux: UrlPrefix


@dataclass(frozen=True, slots=True)
class Unsupported:
    """There is no such link for the domain."""

    reason: str
    place: Place | None = None
    """Where the domain is, when its host takes part and lacks our template, for instance."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """DNS or the host did not say; it may do so later."""

    reason: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What is asked, and of whom."""

    lookups: Callable[[], Lookup]
    """Makes the Lookup of one step: time passes between them."""
    fetch: Fetch
    registered_domain: Callable[[Domain], Domain]
    """The public suffix list, above which no zone is a customer's."""

    def offer(self, domain: Domain, template: TemplateId) -> Offer | Unsupported | Unknown:
        """Whether there can be a link for *domain* with which *template* is applied."""
        place = self.place_of(domain)
        if not isinstance(place, Place):
            return place
        provider = place.provider
        if provider.sync_ux is None:
            return Unsupported(f"{provider.name} has no link for {place.zone}", place)
        path = f"/v2/domainTemplates/providers/{template.provider}/services/{template.service}"
        fetched = self.fetch(provider.api, path)
        if isinstance(fetched, FetchFailed):
            return Unknown(fetched.reason, place)
        if fetched.status in SUCCESS:
            return Offer(place, provider.sync_ux)
        if fetched.status == NOT_FOUND:
            return Unsupported(f"{provider.name} does not have the template {template}", place)
        return Unknown(f"{provider.api.host} answered {fetched.status}", place)

    def place_of(self, domain: Domain) -> Place | Unsupported | Unknown:
        """The zone of *domain* and its host, where that takes part."""
        refusal = Unsupported(f"the DNS host of {domain} does not take part in Domain Connect")
        for zone in _zones(domain, self.registered_domain(domain)):
            prefix = _prefix(zone, self.lookups())
            if prefix is None:
                continue
            if isinstance(prefix, Unknown | Unsupported):
                return prefix
            found = self._settings(zone, prefix)
            if isinstance(found, DnsProvider):
                labels = domain.labels[: len(domain.labels) - len(zone.labels)]
                return Place(zone, ".".join(labels), found)
            if isinstance(found, Unknown):
                return found
            refusal = found
        return refusal

    def _settings(self, zone: Domain, prefix: UrlPrefix) -> DnsProvider | Unsupported | Unknown:
        fetched = self.fetch(prefix, f"/v2/{zone}/settings")
        if isinstance(fetched, FetchFailed):
            return Unknown(fetched.reason)
        if fetched.status == NOT_FOUND:
            # Its record points to a host that the zone has left, or none begins here.
            return Unsupported(f"{prefix.host} does not have the zone {zone}")
        if fetched.status not in SUCCESS:
            return Unknown(f"{prefix.host} answered {fetched.status}")
        try:
            return parse_settings(fetched.body, zone)
        except SettingsError as error:
            return Unknown(f"{prefix.host} gave no settings: {error}")


def _zones(domain: Domain, registered: Domain) -> Iterator[Domain]:
    """*domain* and the names above it, down to the registered domain, the longest first."""
    shortest, longest = len(registered.labels), len(domain.labels)
    for count in range(min(longest, shortest + MAX_ZONES - 1), shortest - 1, -1):
        yield domain.last(count)


def _prefix(zone: Domain, lookup: Lookup) -> UrlPrefix | Unsupported | Unknown | None:
    """Where the settings of *zone* are; None where no record says it.

    A wildcard of the zone above may answer with records of any kind, so others do not count.
    """
    name = f"_domainconnect.{zone}"
    texts = texts_at(name, lookup)
    if isinstance(texts, LookupFailed):
        return Unknown(f"DNS did not say what {name} has: {texts.reason}")
    found = {each for text in texts if (each := _parsed(text))}
    if len(found) > 1:
        return Unsupported(f"{name} names {len(found)} hosts")
    return next(iter(found), None)


def _parsed(text: bytes) -> UrlPrefix | None:
    try:
        return UrlPrefix.parse(f"https://{text.decode('ascii').strip()}")
    except (UrlError, UnicodeDecodeError):
        return None
