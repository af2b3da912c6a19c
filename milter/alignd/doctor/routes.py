"""Checks whether mail leaves through other hosts, by whose addresses receivers then judge SPF."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from alignd.config.settings import Configuration
from alignd.doctor.facts import TableLookup
from alignd.doctor.findings import FindingId, Note, Remark, Unknown, warning
from alignd.mail.domain import Domain, DomainError
from alignd.mail.ip_address import IpAddress, parse_ip_address
from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, RecordType
from alignd.postfix.config import PostfixConfig, Service
from alignd.postfix.tables import split_tables, split_words

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""Addresses that receivers never see: RFC 1918, RFC 6598, RFC 4193."""
_NEXT_HOP = re.compile(
    r"(?:inet:)?(?:\[(?:ipv6:)?(?P<literal>[^]]+)\]|(?P<name>[^:]+))(?::\w[\w-]*)?", re.IGNORECASE
)
_NOWHERE = frozenset({"discard", "error", "retry", "local", "virtual"})
"""Transports whose next hop is no host that sends mail on."""


@dataclass(frozen=True, slots=True)
class Route:
    """A next hop that mail may take instead of the receiver's own host."""

    parameter: str
    """What asks for it."""
    host: str
    """A name or an address, without brackets."""
    is_exchanged: bool
    """Whether its MX records are followed, as they are for a name without brackets."""


def routes(
    configuration: Configuration,
    postfix: PostfixConfig,
    senders: tuple[Service, ...],
    tables: TableLookup,
) -> Iterator[Route | Remark]:
    """The hosts through which this Postfix sends mail, as far as its configuration says."""
    yield from _hops("relayhost", postfix.value("relayhost"))
    yield from _of_transport("default_transport", postfix.value("default_transport"))
    fallbacks = {postfix.value("smtp_fallback_relay", service) for service in senders}
    for fallback in sorted(fallbacks):
        yield from _hops("smtp_fallback_relay", fallback)
    bounces = {view.notifications.bounces.address for view in configuration.all_settings}
    for parameter, read in (
        ("sender_dependent_relayhost_maps", _hops),
        ("sender_dependent_default_transport_maps", _of_transport),
    ):
        yield from _by_sender(parameter, postfix.value(parameter), sorted(bounces), read, tables)
    if maps := postfix.value("transport_maps"):
        yield Note(
            f"transport_maps ({maps}) may send some mail through other hosts: relay.addresses "
            "must list the addresses from which they send"
        )


def is_elsewhere(route: Route) -> bool:
    """Whether *route* surely leads to another machine than this."""
    address = read_address(route.host)
    return route.host.lower() != "localhost" and not (address and address.is_loopback)


def is_inside(address: IpAddress) -> bool:
    """Whether receivers never see *address*."""
    return address.is_loopback or any(address in ip_network(network) for network in _PRIVATE)


def read_address(text: str) -> IpAddress | None:
    """The address that Postfix writes as *text*, in brackets or without; None for a name."""
    try:
        return parse_ip_address(text.strip("[]"))
    except ValueError:
        return None


def examine_routes(
    found: tuple[Route | Remark, ...],
    listed: frozenset[IpAddress],
    new_lookup: Callable[[], Lookup],
    *,
    is_own_name: bool,
) -> Iterator[Remark]:
    """Compare the addresses of each route with those that alignd.conf has *listed*.

    Unless *is_own_name*, relay.hostname is not what this Postfix says in HELO: then alignd.conf
    describes another host, and its addresses may be others than those that take mail.
    """
    for each in found:
        if isinstance(each, Route):
            yield from _route(each, listed, new_lookup(), is_own_name=is_own_name)
        else:
            yield each


def _by_sender(
    parameter: str,
    maps: str,
    addresses: list[str],
    read: Callable[[str, str], Iterator[Route]],
    tables: TableLookup,
) -> Iterator[Route | Remark]:
    if not maps:
        return
    yield Note(
        f"{parameter} ({maps}) may send the mail of some senders through other hosts: "
        "relay.addresses must list the addresses from which they send"
    )
    for address in addresses:
        keys = (address.lower(), f"@{address.rpartition('@')[2]}")
        found = tables(split_tables(maps), keys)
        if isinstance(found, Unknown):
            yield Unknown(f"which host {parameter} chooses for {address}: {found.text}")
            continue
        answer = next((found[key] for key in keys if key in found), "")
        yield from read(f"{parameter}, for {address}", answer)


def _of_transport(parameter: str, value: str) -> Iterator[Route]:
    transport, _, hops = value.partition(":")
    if transport not in _NOWHERE:
        yield from _hops(parameter, hops)


def _hops(parameter: str, value: str) -> Iterator[Route]:
    for word in split_words(value):
        if match := _NEXT_HOP.fullmatch(word):
            host = match["literal"] or match["name"]
            yield Route(parameter, host, match["literal"] is None and read_address(host) is None)


def _route(
    route: Route, listed: frozenset[IpAddress], lookup: Lookup, *, is_own_name: bool
) -> Iterator[Remark]:
    must = "relay.addresses must list the addresses from which it sends to receivers"
    addresses = _addresses(route, lookup) if is_own_name else ()
    if isinstance(addresses, LookupFailed):
        yield Unknown(
            f"which addresses {route.host} has ({route.parameter}): {addresses.reason}; {must}"
        )
        return
    if not is_own_name or (addresses and all(map(is_inside, addresses))):
        yield Note(f"mail leaves through {route.host} ({route.parameter}): {must}")
        return
    unlisted = [each for each in addresses if each not in listed and not is_inside(each)]
    if unlisted or not addresses:
        known = ", ".join(map(str, unlisted)) or "no address in DNS"
        yield warning(
            FindingId.RELAYHOST_UNLISTED,
            f"mail leaves through {route.host} ({route.parameter}), which has {known}, not in "
            "relay.addresses",
            "receivers judge SPF by the addresses and the HELO name of that host; alignd predicts "
            "for others, so that mail left alone and rewritten mail may both fail",
            f"relay.addresses must list the addresses from which {route.host} sends, and "
            "relay.hostname the name that it says in HELO",
        )


def _addresses(route: Route, lookup: Lookup) -> tuple[IpAddress, ...] | LookupFailed:
    if (literal := read_address(route.host)) is not None:
        return (literal,)
    try:
        name = Domain.parse(route.host).name
    except DomainError as error:
        return LookupFailed(str(error))
    if name == "localhost":
        return (parse_ip_address("127.0.0.1"),)
    hosts = [name]
    if route.is_exchanged:
        exchanges = lookup.look_up(name, RecordType.MX)
        if isinstance(exchanges, LookupFailed):
            return exchanges
        hosts = [
            each.host for each in exchanges.records if isinstance(each, MailExchange)
        ] or hosts
    found: list[IpAddress] = []
    for host in hosts:
        for record_type in (RecordType.A, RecordType.AAAA):
            answer = lookup.look_up(host.removesuffix(".").lower(), record_type)
            if isinstance(answer, LookupFailed):
                return answer
            found += (parse_ip_address(each) for each in answer.records if isinstance(each, str))
    return tuple(found)
