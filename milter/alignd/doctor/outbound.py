"""Checks that Postfix sends with the addresses and the HELO name that alignd.conf states."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alignd.config.settings import Configuration, Relay
from alignd.doctor.facts import Interfaces, TableLookup
from alignd.doctor.findings import (
    FindingId,
    Note,
    Remark,
    Topic,
    TopicReport,
    Unknown,
    error,
    topic_report,
    warning,
)
from alignd.doctor.routes import (
    Route,
    examine_routes,
    is_elsewhere,
    is_inside,
    read_address,
    routes,
)
from alignd.mail.ip_address import IpAddress, is_documentation
from alignd.mailauth.dns import Lookup
from alignd.postfix.config import PostfixConfig, Service, version_number

_PROTOCOLS = {4: frozenset({"all", "ipv4"}), 6: frozenset({"all", "ipv6"})}
_BIND = {4: "smtp_bind_address", 6: "smtp_bind_address6"}
_MISPLACING = ((3, 7), (3, 7, 11))
"""From which version on, and before which, an edit may hit another field (Debian's changelog of
3.7.11; other branches have not been checked)."""


def examine_outbound(
    configuration: Configuration,
    postfix: PostfixConfig,
    interfaces: Interfaces,
    tables: TableLookup,
    new_lookup: Callable[[], Lookup],
) -> TopicReport:
    """Compare the services that send to other hosts with all relay options, tenants' included."""
    relays = tuple(view.relay for view in configuration.all_settings)
    listed = frozenset(address for relay in relays for address in relay.addresses)
    senders = outgoing(postfix)
    found = tuple(routes(configuration, postfix, senders, tables))
    said = {postfix.value("smtp_helo_name", service).lower() for service in senders}
    is_own_name = any(str(relay.hostname) in said for relay in relays)
    remarks = [
        *examine_routes(found, listed, new_lookup, is_own_name=is_own_name),
        *_protocols(postfix, listed),
        *_examples(postfix, senders, listed, interfaces),
    ]
    # Where all mail leaves through another host, receivers see nothing of this one.
    if not any(_takes_all(route) for route in found if isinstance(route, Route)):
        remarks += [
            *_bound(postfix, senders, listed),
            *_unbound(postfix, senders, listed, interfaces),
            *_helo_names(postfix, senders, relays),
        ]
    return topic_report(Topic.OUTBOUND, remarks)


def examine_version(postfix: PostfixConfig) -> Iterator[Remark]:
    """Check for known bugs of this version of Postfix."""
    since, fixed = _MISPLACING
    if since <= version_number(postfix.version) < fixed:
        yield warning(
            FindingId.POSTFIX_MISPLACES_EDITS,
            f"Postfix {postfix.version} may change the wrong header field after an access "
            "table has added one (PREPEND)",
            "another field is removed or replaced, and From stays; 3.7.11 fixes it",
            "apt install postfix",
        )


def _takes_all(route: Route) -> bool:
    return route.parameter in {"relayhost", "default_transport"} and is_elsewhere(route)


def outgoing(postfix: PostfixConfig) -> tuple[Service, ...]:
    """The smtp services that deliver to other hosts, not to this Postfix itself."""
    own = {
        postfix.value("content_filter", service).partition(":")[0] for service in postfix.services
    }
    return tuple(service for service in postfix.running("smtp") if service.name not in own)


def _bound(
    postfix: PostfixConfig, senders: tuple[Service, ...], listed: frozenset[IpAddress]
) -> Iterator[Remark]:
    for version, parameter in _BIND.items():
        for text, services in _by_value(postfix, senders, parameter).items():
            address = read_address(text)
            if text and address is None:
                yield Unknown(f"which address {services} sends from: {parameter} = {text!r}")
            elif address and address not in listed and _speaks(postfix, version):
                yield warning(
                    FindingId.BIND_ADDRESS_UNLISTED,
                    f"mail leaves from {address} ({parameter} of {services}), which is not in "
                    "relay.addresses",
                    "alignd evaluates SPF for other addresses than receivers see; behind NAT, "
                    f"list the public address, and remove {parameter} if NAT does not need it",
                    _listing(address),
                )


def _by_value(
    postfix: PostfixConfig, services: tuple[Service, ...], parameter: str
) -> dict[str, str]:
    """Each value of *parameter*, with the names of the services that have it."""
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
    """The addresses that the system may pick for services without a bind address."""
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
        if isinstance(found, Unknown):
            yield found
            continue
        yield from _picked([each for each in found if each.version == version], listed)


def _picked(found: list[IpAddress], listed: frozenset[IpAddress]) -> Iterator[Remark]:
    for address in found:
        if address in listed or address.is_loopback or address.is_link_local:
            continue
        if not is_inside(address):
            yield warning(
                FindingId.INTERFACE_ADDRESS_UNLISTED,
                f"mail may leave from {address}, an address of this machine that is not in "
                "relay.addresses",
                "receivers may block mail from it, although alignd predicts that it passes",
                f"{_listing(address)}\n"
                f"or postconf -e '{_BIND[address.version]} = ...' with a listed address",
            )
        else:
            yield Note(
                f"{address} is a private address: behind NAT, relay.addresses must list the "
                "public one"
            )


def _examples(
    postfix: PostfixConfig,
    senders: tuple[Service, ...],
    listed: frozenset[IpAddress],
    interfaces: Interfaces,
) -> Iterator[Remark]:
    """Addresses of examples; a laboratory has them, and Postfix then binds to them."""
    bound = {
        read_address(postfix.value(parameter, service))
        for parameter in _BIND.values()
        for service in senders
    }
    if any(each and is_documentation(each) for each in bound.union(_named_interfaces(postfix))):
        return
    own = () if isinstance(interfaces, Unknown) else interfaces
    left = sorted(map(str, filter(is_documentation, listed.difference(own, bound))))
    if left:
        yield error(
            FindingId.ADDRESS_OF_EXAMPLES,
            f"relay.addresses lists {', '.join(left)}: addresses of examples, which no relay has",
            "SPF is evaluated for addresses that mail does not leave from, so what is predicted "
            "says nothing of what receivers see",
            "the public addresses of this relay in relay.addresses of alignd.conf",
        )


def _protocols(postfix: PostfixConfig, listed: frozenset[IpAddress]) -> Iterator[Remark]:
    if not postfix.value("inet_protocols").replace(",", " ").split():
        yield error(
            FindingId.PROTOCOLS_NONE,
            "inet_protocols is empty",
            "Postfix listens nowhere and sends nothing over the network",
            "postconf -e 'inet_protocols = all'",
        )
        return
    for version in _PROTOCOLS:
        idle = sorted(str(address) for address in listed if address.version == version)
        if idle and not _speaks(postfix, version):
            yield warning(
                FindingId.PROTOCOL_OFF,
                f"relay.addresses lists {', '.join(idle)}, but with inet_protocols = "
                f"{postfix.value('inet_protocols')} Postfix never sends over IPv{version}",
                "mail is rewritten if its author domain does not authorise an address that is "
                "never used",
                "postconf -e 'inet_protocols = all'\n"
                f"or remove {', '.join(idle)} from relay.addresses of alignd.conf",
            )


def _helo_names(
    postfix: PostfixConfig, senders: tuple[Service, ...], relays: tuple[Relay, ...]
) -> Iterator[Remark]:
    names = dict.fromkeys(str(relay.hostname) for relay in relays)
    for said, services in _by_value(postfix, senders, "smtp_helo_name").items():
        if said.lower().removesuffix(".") not in names:
            yield error(
                FindingId.HELO_NAME_DIFFERS,
                f"Postfix sends HELO {said} ({services}), but relay.hostname is "
                f"{', '.join(names)}",
                "for mail with a null envelope sender and for SPF macros, receivers use another "
                "name than alignd",
                f"postconf -e 'smtp_helo_name = {relays[0].hostname}'\n"
                "or change relay.hostname in alignd.conf",
            )


def _speaks(postfix: PostfixConfig, version: int) -> bool:
    said = set(postfix.value("inet_protocols").replace(",", " ").split())
    return bool(said & _PROTOCOLS[version])


def _named_interfaces(postfix: PostfixConfig) -> list[IpAddress]:
    words = postfix.value("inet_interfaces").replace(",", " ").split()
    return [each for each in map(read_address, words) if each]


def _listing(address: IpAddress) -> str:
    return f'"{address}" in relay.addresses of alignd.conf'
