"""IP addresses as mail compares them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

IpAddress = IPv4Address | IPv6Address


def parse_ip_address(text: str) -> IpAddress:
    """Parse an address; an IPv4-mapped IPv6 address becomes IPv4 (RFC 7208, section 5).

    Raises:
        ValueError: *text* is no IP address.
    """
    parsed = ip_address(text)
    return getattr(parsed, "ipv4_mapped", None) or parsed
