"""The addresses of nameservers as the kernel has them, which say more than their text."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from ipaddress import IPv6Address

from alignd.config.option_types import Nameserver, needs_scope

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""As the module socket has it: host and port; of IPv6 also flow information and scope id."""
Source = tuple[bytes, int, int]
"""Address, port, and the number of the interface where that matters: who sent a datagram."""
_SIOCGIFINDEX = 0x8933  # netdevice(7)
_IFREQ = struct.Struct("=16si20x")
_MAX_NAME = 15  # octets of the name of an interface


def socket_address(server: Nameserver, sock: socket.socket) -> SocketAddress:
    """Where *sock* reaches *server*.

    Raises:
        OSError: there is no interface of that name.
    """
    if ":" not in server.address:
        return server.address, server.port
    return server.address, server.port, 0, _interface(server.scope, sock)


def source(address: SocketAddress) -> Source:
    """Who is at *address*, however it is spelled."""
    if len(address) == 2:  # noqa: PLR2004  IPv4
        return socket.inet_pton(socket.AF_INET, address[0]), address[1], 0
    packed = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
    scope_id = address[3] if needs_scope(IPv6Address(packed)) else 0
    return packed, address[1], scope_id


def _interface(scope: str, sock: socket.socket) -> int:
    """The number of an interface, by its name or number; 0 for an empty one.

    Asked anew each time, as an interface that comes back has another number. if_nametoindex(3)
    would open a socket for it, for which there may be no descriptor.
    """
    if not scope:
        return 0
    name = os.fsencode(scope)
    if len(name) <= _MAX_NAME:
        try:
            request = fcntl.ioctl(sock, _SIOCGIFINDEX, _IFREQ.pack(name, 0))
            return int(_IFREQ.unpack(request)[1])
        except OSError:
            pass  # a number, or nothing
    if scope.isascii() and scope.isdigit():
        return int(scope)
    raise OSError(f"no interface {scope}")
