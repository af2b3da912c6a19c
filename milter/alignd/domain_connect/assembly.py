"""Assembles what finds out whether a DNS host applies our template, and signs the link to it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version

from alignd.config.domain_lists import SuffixList
from alignd.config.settings import Configuration, DomainConnectOptions
from alignd.domain_connect.address_check import is_public
from alignd.domain_connect.discovery import Discovery, Offer
from alignd.domain_connect.https import PATIENCE, GuardedHttps
from alignd.domain_connect.key_record import record_name
from alignd.domain_connect.link import apply_link
from alignd.domain_connect.signing_key import SigningKey
from alignd.domain_connect.template import Group, TemplateId
from alignd.domain_connect.url import HTTPS_PORT
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import Lookup


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be reached of the network, and how servers are verified; another one in tests."""

    may_connect: Callable[[IpAddress], bool] = is_public
    ports: frozenset[int] = frozenset({HTTPS_PORT})
    certificates: str = ""
    """A file; empty for those of the system."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the configuration says of us."""

    configuration: Configuration
    provider: Domain
    key: SigningKey

    @property
    def options(self) -> DomainConnectOptions:
        return self.configuration.domain_connect

    @property
    def template(self) -> TemplateId:
        return TemplateId.of(self.options, self.provider)

    @property
    def record_name(self) -> str:
        return record_name(self.provider, self.options.key_name)

    def link(self, offer: Offer, groups: Iterable[Group] = ()) -> str:
        """The signed link for the user of the DNS host; see `apply_link`."""
        return apply_link(offer, self.template, self.options.key_name, self.key.sign, groups)


def make_discovery(
    configuration: Configuration,
    lookups: Callable[[], Lookup],
    reach: Reach,
    patience: float = PATIENCE,
) -> Discovery:
    """Make the discovery, which reaches the network with *patience* in seconds."""
    own = frozenset(
        address for settings in configuration.all_settings for address in settings.relay.addresses
    )
    fetch = GuardedHttps(
        lookups,
        f"alignd/{version('alignd')}",
        ssl.create_default_context(cafile=reach.certificates or None),
        # What listens on the relay's own public addresses may trust them.
        may_connect=lambda address: address not in own and reach.may_connect(address),
        ports=reach.ports,
        patience=patience,
    )
    return Discovery(lookups, fetch, SuffixList().registered_domain)
