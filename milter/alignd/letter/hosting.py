"""Finds out where the DNS of a domain is hosted: its zone, its nameservers, whose they are."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.letter.dns_host import DnsHost
from alignd.letter.hosts import HOSTS
from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType

_MAX_LABELS = 8
"""As many names are asked about as in a DMARC tree walk (RFC 9989, section 4.10)."""


@dataclass(frozen=True, slots=True)
class Hosting:
    """Where a record is entered; nothing of it need be known."""

    zone: Domain | None = None
    """The name at the top of the zone that has the record."""
    nameservers: tuple[str, ...] = ()
    host: DnsHost | None = None


UNKNOWN_HOSTING = Hosting()


def find_hosting(name: Domain, lookup: Lookup) -> Hosting:
    """Find the zone that has *name*: the nearest name above it, or itself, with NS records."""
    labels = len(name.labels)
    for size in range(min(labels, _MAX_LABELS), 1, -1):
        zone = name.last(size)
        answer = lookup.look_up(zone.name, RecordType.NS)
        if isinstance(answer, LookupFailed):
            return UNKNOWN_HOSTING  # the zone may begin here, or further above
        nameservers = tuple(sorted(record for record in answer.records if isinstance(record, str)))
        if nameservers and not answer.alias_of:
            return Hosting(zone, nameservers, recognise(nameservers))
    return UNKNOWN_HOSTING


def recognise(nameservers: tuple[str, ...]) -> DnsHost | None:
    """The host of all *nameservers*; None where one of them is somebody else's, or unknown."""
    hosts = {next((host for host in HOSTS if host.serves(name)), None) for name in nameservers}
    return hosts.pop() if len(hosts) == 1 else None
