"""Whether mail leaves as the configuration says: the addresses and the HELO name of Postfix."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from alignd.config.settings import Configuration, Relay
from alignd.doctor.facts import Interfaces, IpAddress
from alignd.doctor.findings import (
    CannotSay,
    FindingId,
    Note,
    Remark,
    Topic,
    TopicReport,
    error,
    topic_report,
    warning,
)
from alignd.postfix.config import PostfixConfig, Service, version_number

_PROTOCOLS = {4: frozenset({"all", "ipv4"}), 6: frozenset({"all", "ipv6"})}
_BIND = {4: "smtp_bind_address", 6: "smtp_bind_address6"}
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""Addresses that the world never sees: RFC 1918, RFC 6598, RFC 4193."""
_MISPLACING = ((3, 7), (3, 7, 11))
"""From which version on, and before which, an edit may hit another field (Debian's changelog of
3.7.11 tells of it; other branches were not looked at)."""


def examine_outbound(
    configuration: Configuration, postfix: PostfixConfig, interfaces: Interfaces
) -> TopicReport:
    """Examine every service that sends mail to others, against every view of the relay."""
    relays = tuple(view.relay for view in configuration.all_settings)
    listed = frozenset(address for relay in relays for address in relay.addresses)
    senders = _senders(postfix)
    remarks = [
        *_bound(postfix, senders, listed),
        *_unbound(postfix, senders, listed, interfaces),
        *_protocols(postfix, listed),
        *_helo_names(postfix, senders, relays),
    ]
    return topic_report(Topic.OUTBOUND, remarks)


def examine_version(postfix: PostfixConfig) -> Iterator[Remark]:
    """Say whether this version of Postfix has a known bug."""
    since, fixed = _MISPLACING
    if since <= version_number(postfix.version) < fixed:
        yield warning(
            FindingId.POSTFIX_MISPLACES_EDITS,
            f"Postfix {postfix.version} may change another header field than the one it is told "
            "to, after an access table has put one on (PREPEND)",
            "the wrong field is removed or replaced, and From stays; 3.7.11 fixes it",
            "apt install postfix",
        )


def _senders(postfix: PostfixConfig) -> tuple[Service, ...]:
    """Those that deliver to others, and not to this Postfix itself."""
    own = {
        postfix.value("content_filter", service).partition(":")[0] for service in postfix.services
    }
    return tuple(service for service in postfix.running("smtp") if service.name not in own)


def _bound(
    postfix: PostfixConfig, senders: tuple[Service, ...], listed: frozenset[IpAddress]
) -> Iterator[Remark]:
    for version, parameter in _BIND.items():
        for text, services in _by_value(postfix, senders, parameter).items():
            address = _parsed(text)
            if text and address is None:
                yield CannotSay(f"which address {services} sends from: {parameter} = {text!r}")
            elif address and address not in listed and _speaks(postfix, version):
                yield warning(
                    FindingId.BIND_ADDRESS_UNLISTED,
                    f"mail leaves from {address} ({parameter} of {services}), which "
                    "relay.addresses does not name",
                    "alignd predicts for other addresses than receivers see. Behind NAT the "
                    f"outer address counts: put that there, and take {parameter} out if NAT "
                    "needs none",
                    _listing(address),
                )


def _by_value(
    postfix: PostfixConfig, services: tuple[Service, ...], parameter: str
) -> dict[str, str]:
    """What *parameter* is, and the names of the services for which it is that."""
    found: dict[str, list[str]] = {}
    for service in services:
        found.setdefault(postfix.value(parameter, service), []).append(str(service))
    return {value: ", ".join(names) for value, names in found.items()}


def _unbound(
    postfix: PostfixConfig,
    senders: tuple[Service, ...],
    listed: frozenset[IpAddress],
    interfaces: Interfaces,
) -> Iterator[Remark]:
    """The addresses that the system picks from where nothing is bound."""
    free = [
        version
        for version, parameter in _BIND.items()
        if _speaks(postfix, version)
        and any(not postfix.value(parameter, service) for service in senders)
    ]
    named = _named_interfaces(postfix)
    for version in free:
        own = [address for address in named if address.version == version]
        if len(own) == 1 and not own[0].is_loopback:
            found: Interfaces = tuple(own)  # postconf(5), smtp_bind_address, note 1
        else:
            found = interfaces
        if isinstance(found, CannotSay):
            yield found
            continue
        yield from _picked([each for each in found if each.version == version], listed)


def _picked(found: list[IpAddress], listed: frozenset[IpAddress]) -> Iterator[Remark]:
    for address in found:
        if address in listed or address.is_loopback or address.is_link_local:
            continue
        if not any(address in ip_network(network) for network in _PRIVATE):
            yield warning(
                FindingId.INTERFACE_ADDRESS_UNLISTED,
                f"mail may leave from {address}, an address of this machine that relay.addresses "
                "does not name",
                "what leaves from it may be blocked, though it was predicted to pass",
                f"{_listing(address)}, or\n"
                f"postconf -e '{_BIND[address.version]} = ...', an address that is named",
            )
        else:
            yield Note(
                f"{address} is a private address: behind NAT, relay.addresses has to name the "
                "outer one"
            )


def _protocols(postfix: PostfixConfig, listed: frozenset[IpAddress]) -> Iterator[Remark]:
    for version in _PROTOCOLS:
        idle = [str(address) for address in listed if address.version == version]
        if idle and not _speaks(postfix, version):
            yield warning(
                FindingId.PROTOCOL_OFF,
                f"relay.addresses names {', '.join(sorted(idle))}, and inet_protocols = "
                f"{postfix.value('inet_protocols')} never sends from there",
                "mail is rewritten where an author domain does not authorise an address that is "
                "not used",
                "take it out of relay.addresses, or postconf -e 'inet_protocols = all'",
            )


def _helo_names(
    postfix: PostfixConfig, senders: tuple[Service, ...], relays: tuple[Relay, ...]
) -> Iterator[Remark]:
    names = dict.fromkeys(str(relay.hostname) for relay in relays)
    for said, services in _by_value(postfix, senders, "smtp_helo_name").items():
        if said.lower().removesuffix(".") not in names:
            yield error(
                FindingId.HELO_NAME_DIFFERS,
                f"Postfix says HELO {said} ({services}), and relay.hostname is {', '.join(names)}",
                "receivers judge mail with a null envelope sender, and SPF macros, on another "
                "name than alignd does",
                f"postconf -e 'smtp_helo_name = {relays[0].hostname}', or relay.hostname",
            )


def _speaks(postfix: PostfixConfig, version: int) -> bool:
    said = set(postfix.value("inet_protocols").replace(",", " ").split())
    return bool(said & _PROTOCOLS[version])


def _named_interfaces(postfix: PostfixConfig) -> list[IpAddress]:
    words = postfix.value("inet_interfaces").replace(",", " ").split()
    return [each for each in map(_parsed, words) if each]


def _parsed(text: str) -> IpAddress | None:
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None


def _listing(address: IpAddress) -> str:
    return f'"{address}" in relay.addresses of alignd.conf'
