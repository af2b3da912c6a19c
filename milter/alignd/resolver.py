"""DNS over the network: a cache for the process, and for each message one budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.nameserver
import dns.rcode
import dns.resolver

from alignd.dnsdata import to_name, to_records
from alignd.lookup import Answer, LookupFailed, RecordType
from alignd.settings import Dns

MAX_NEGATIVE_TTL = 300.0
"""Seconds that the absence of a record is kept: the record may be what we asked for."""
_CACHE_SIZE = 20_000  # names and types
_TRIES = 10  # so many questions to silent nameservers fit into the budget
_OVERRUN = 1.4
"""By how much dnspython may overrun its lifetime: it sleeps between rounds (measured)."""
_EDNS_PAYLOAD = 1232  # octets, the size that is safe from fragments (DNS flag day 2020)


class ResolverError(RuntimeError):
    """There is no nameserver to ask; the message says where one can be named."""


class _Cache(dns.resolver.LRUCache):
    """dnspython's cache, its TTLs capped at both ends.

    dnspython takes the least TTL of a CNAME chain, and that of the SOA record for an absence
    (RFC 2308, section 5).
    """

    def __init__(self, min_ttl: float, max_ttl: float) -> None:
        super().__init__(_CACHE_SIZE)
        self._min_ttl, self._max_ttl = min_ttl, max_ttl

    def put(self, key: Any, value: dns.resolver.Answer) -> None:
        now = time.time()
        present = value.rrset is not None
        longest = self._max_ttl if present else min(self._max_ttl, MAX_NEGATIVE_TTL)
        ttl = min(max(value.expiration - now, self._min_ttl), longest)
        value.expiration = now + ttl
        super().put(key, value)


class Resolver:
    """Asks nameservers; one for the process, safe for threads."""

    def __init__(self, settings: Dns, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the nameservers of *settings*, or the system's.

        Raises:
            ResolverError: the system names none.
        """
        try:
            self._resolver = dns.resolver.Resolver(configure=not settings.nameservers)
        except dns.resolver.NoResolverConfiguration as error:
            raise ResolverError(
                f"no nameserver in /etc/resolv.conf ({error}); set dns.nameservers"
            ) from error
        if settings.nameservers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(server.address, server.port)
                for server in settings.nameservers
            ]
        self._resolver.timeout = settings.timeout / _TRIES
        self._resolver.use_edns(0, 0, _EDNS_PAYLOAD)
        self._resolver.cache = _Cache(settings.min_ttl, settings.max_ttl)
        self._budget = settings.timeout
        self._clock = clock

    def for_message(self) -> MessageLookup:
        """A Lookup whose budget starts now."""
        return MessageLookup(self._resolver, self._budget, self._clock)


class MessageLookup:
    """Answers for one message: each question asked once, all within one budget."""

    def __init__(
        self, resolver: dns.resolver.Resolver, budget: float, clock: Callable[[], float]
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._deadline = clock() + budget
        self._known: dict[tuple[str, RecordType], Answer | LookupFailed] = {}

    def look_up(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        """Answer from the cache or the network; a failure holds for the whole message."""
        key = (name, record_type)
        if key not in self._known:
            self._known[key] = self._ask(name, record_type)
        return self._known[key]

    def _ask(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        # No time left still means a look into the cache, which dnspython takes first.
        left = max(0.0, self._deadline - self._clock()) / _OVERRUN
        try:
            answer = self._resolver.resolve(
                to_name(name),
                record_type.value,
                search=False,
                raise_on_no_answer=False,
                lifetime=left,
            )
        except dns.resolver.NXDOMAIN as error:
            # The name at the end of a CNAME does not exist; the one asked for does.
            aliased = any(response.answer for response in error.responses().values())  # type: ignore[no-untyped-call]
            return Answer((), exists=aliased)
        except dns.resolver.NoNameservers as error:
            return LookupFailed(_refusal(error))
        except dns.exception.Timeout:
            return LookupFailed("timeout")
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, UnicodeError):
            return Answer((), exists=False)  # no name that DNS could carry
        except dns.exception.DNSException as error:
            return LookupFailed(type(error).__name__)
        return Answer(to_records(answer.rrset) if answer.rrset is not None else ())


def _refusal(error: dns.resolver.NoNameservers) -> str:
    for _, _, _, problem, response in error.kwargs.get("errors", ()):
        if response is not None and response.rcode() != dns.rcode.NOERROR:
            return dns.rcode.to_text(response.rcode())
        return str(problem) or type(problem).__name__
    return "no nameserver answers"
