"""Says which addresses may be connected to when a stranger's DNS names them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from alignd.mail.ip_address import IpAddress

_NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that a DNS64 makes of IPv4 addresses (RFC 6052, section 2.1)."""
_NEVER = (
    IPv6Network("::/96"),  # IPv4-compatible (RFC 4291, section 2.5.5.1), unspecified, loopback
    IPv6Network("64:ff9b:1::/48"),  # a NAT64 of the local network (RFC 8215)
    IPv6Network("2001::/32"),  # Teredo (RFC 4380): leads to any IPv4 address
    IPv6Network("2002::/16"),  # 6to4 (RFC 3056): so does this
    IPv6Network("fec0::/10"),  # site-local (RFC 3879)
)
_IPV4_BITS = 0xFFFFFFFF


def is_public(address: IpAddress) -> bool:
    """Whether *address* is one host of the public network, and not one of ours or of a tunnel."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & _IPV4_BITS))
        if any(address in network for network in _NEVER):
            return False
    # What is multicast or reserved can be "global" to the standard library.
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not is_special
