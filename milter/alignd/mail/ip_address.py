"""IP addresses as mail compares them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IpAddress = IPv4Address | IPv6Address

_DOCUMENTATION = tuple(
    ip_network(text)
    for text in (
        # RFC 5737; RFC 3849 and RFC 9637.
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
        *("2001:db8::/32", "3fff::/20"),
    )
)


def parse_ip_address(text: str) -> IpAddress:
    """Parse an address; an IPv4-mapped IPv6 address becomes IPv4 (RFC 7208, section 5).

    Raises:
        ValueError: *text* is no IP address.
    """
    parsed = ip_address(text)
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_documentation(address: IpAddress) -> bool:
    """Whether *address* is one for examples, from which no mail leaves on the Internet."""
    return any(address in network for network in _DOCUMENTATION)
