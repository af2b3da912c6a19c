"""Assembles the checker of a service, with DNS of its own: mail shares nothing with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from alignd.config.nameservers import Nameservers
from alignd.config.settings import Configuration, DnsOptions
from alignd.domain_connect.assembly import Reach, Service, make_discovery
from alignd.domain_connect.signing_key import load_signing_key
from alignd.judgement.review import make_reviewer
from alignd.mail.domain import Domain
from alignd.mailauth.dkim import Signer
from alignd.mailauth.dns import Lookup
from alignd.resolver.authoritative import AuthoritativeLookup
from alignd.resolver.client import Upstream
from alignd.resolver.resolver import Resolver
from alignd.return_path.directory import Directory
from alignd.web.desk.budget import BoundedLookup, Budget
from alignd.web.desk.checker import Checker, Limits, Links, OpenLookup, Sources
from alignd.web.desk.links import HostLinks, NoLinks

_DNS_PATIENCE = 3.0  # seconds, for what is asked of DNS before a DNS host
_HTTPS_PATIENCE = 3.0  # seconds for a document of a DNS host

Failed = Callable[[Domain, Exception], None]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is as it is but in tests."""

    limits: Limits = field(default_factory=Limits)
    reach: Reach = field(default_factory=Reach)
    port: int = 53
    """Of the servers of zones."""


def make_checker(
    configuration: Configuration,
    signer: Signer,
    directory: Directory,
    nameservers: Nameservers,
    failed: Failed,
    tuning: Tuning | None = None,
) -> Checker:
    """Make the checker of a configuration, which asks *nameservers*.

    *failed* is told of bugs.

    Raises:
        ConfigError: the key of Domain Connect is no use.
    """
    reviewer = make_reviewer(
        configuration, signer, time.time, processor_time=time.thread_time, directory=directory
    )
    tuning = tuning or Tuning()
    sources = Sources(
        _usual(configuration.dns, nameservers),
        _authoritative(nameservers, tuning.port),
        _links(configuration, nameservers, failed, tuning.reach),
    )
    return Checker(reviewer, sources, failed, tuning.limits)


def _usual(dns: DnsOptions, nameservers: Nameservers) -> OpenLookup:
    @contextmanager
    def open_lookup(budget: Budget) -> Iterator[Lookup]:
        # One for each examination: that the servers of one domain are silent, which opens the
        # circuit breaker, says nothing of another domain.
        options = _options_of_pages(dns, budget.seconds_left)
        resolver = Resolver(options, nameservers, report=_say_nothing)
        try:
            yield BoundedLookup(resolver.for_message(), budget)
        finally:
            resolver.end()

    return open_lookup


def _authoritative(nameservers: Nameservers, port: int) -> OpenLookup:
    upstream = Upstream(nameservers, keeps_sockets=False)

    @contextmanager
    def open_lookup(budget: Budget) -> Iterator[Lookup]:
        lookup = AuthoritativeLookup(upstream, budget.seconds_left, budget.asked, port)
        yield BoundedLookup(lookup, budget, notes_questions=True)

    return open_lookup


def _links(
    configuration: Configuration, nameservers: Nameservers, failed: Failed, reach: Reach
) -> Links:
    options = configuration.domain_connect
    if options.provider is None:
        return NoLinks()
    service = Service(configuration, options.provider, load_signing_key(options.key_file))
    dns = _options_of_pages(configuration.dns, _DNS_PATIENCE)
    resolver = Resolver(dns, nameservers, report=_say_nothing)
    discovery = make_discovery(configuration, resolver.for_message, reach, _HTTPS_PATIENCE)
    return HostLinks(service, discovery, resolver.end, failed)


def _options_of_pages(dns: DnsOptions, seconds: float) -> DnsOptions:
    """Those of mail, but that a page says what DNS says now, and no old answer."""
    return dns.model_copy(update={"timeout": seconds, "stale": 0.0, "archive": ""})


def _say_nothing(_: str) -> None:
    """DNS that is down is told of by the services of mail."""
