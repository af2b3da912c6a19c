"""Sockets: those that alignd listens on, and the endpoints where Postfix connects to a milter.

One module knows both spellings, libmilter's (`inet:8899@127.0.0.1`) and Postfix's
(`inet:127.0.0.1:8899`). `str` spells a socket as libmilter does, because libmilter opens it, and
an endpoint as Postfix does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alignd.mail.ip_address import parse_ip_address

_LIBMILTER_INET = re.compile(r"inet(?P<six>6?):(?P<port>\d{1,5})(?:@(?P<host>\S+))?", re.ASCII)
_LIBMILTER_UNIX = re.compile(r"(?:unix|local):(?P<path>/\S+)")
_LIBMILTER_DESCRIPTOR = re.compile(r"fd:(?P<descriptor>\d+)", re.ASCII)
_POSTFIX_INET = re.compile(r"inet:(?P<host>\[[^]]+\]|[^:@\s]+):(?P<port>\d{1,5})", re.ASCII)
_POSTFIX_UNIX = re.compile(r"unix:(?P<path>\S+)")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class InetEndpoint:
    """A TCP port, reached at *host*: an IP address without brackets, or a name.

    Raises:
        ValueError: the port is out of range.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        _check_port(self.port)

    def __str__(self) -> str:
        return f"inet:{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A socket in the file system; a relative *path* is below Postfix's queue directory."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Endpoint = InetEndpoint | UnixEndpoint


@dataclass(frozen=True, slots=True)
class InetSocket:
    """A TCP port to listen on.

    Raises:
        ValueError: the port is out of range.
    """

    port: int
    host: str = ""
    """An IP address or a name; empty for every address of the machine."""
    is_ipv6: bool = False

    def __post_init__(self) -> None:
        _check_port(self.port)

    def __str__(self) -> str:
        at_host = f"@{self.host}" if self.host else ""
        return f"inet{'6' if self.is_ipv6 else ''}:{self.port}{at_host}"

    @property
    def endpoint(self) -> InetEndpoint:
        """Where it is reached from this machine: on loopback if it listens on every address."""
        loopback = "::1" if self.is_ipv6 else "127.0.0.1"
        return InetEndpoint(loopback if _is_any(self.host) else self.host, self.port)


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket to create in the file system, at an absolute *path*.

    Raises:
        ValueError: the path is relative.
    """

    path: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"not an absolute path: {self.path!r}")

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def endpoint(self) -> UnixEndpoint:
        """Where it is reached from this machine."""
        return UnixEndpoint(self.path)


@dataclass(frozen=True, slots=True)
class HandedOverSocket:
    """A listening socket that systemd opened; only the socket unit knows its address."""

    descriptor: int

    def __str__(self) -> str:
        return f"fd:{self.descriptor}"


MilterSocket = InetSocket | UnixSocket | HandedOverSocket


def parse_socket(text: str) -> MilterSocket:
    """Parse a socket in libmilter's spelling; for TCP, Postfix's is understood, too.

    Raises:
        ValueError: *text* is neither, or the port is out of range.
    """
    if match := _POSTFIX_INET.fullmatch(text):
        host = _bare(match["host"])
        return InetSocket(int(match["port"]), host, is_ipv6=":" in host)
    if match := _LIBMILTER_INET.fullmatch(text):
        return InetSocket(int(match["port"]), match["host"] or "", is_ipv6=bool(match["six"]))
    if match := _LIBMILTER_UNIX.fullmatch(text):
        return UnixSocket(match["path"])
    if match := _LIBMILTER_DESCRIPTOR.fullmatch(text):
        return HandedOverSocket(int(match["descriptor"]))
    raise ValueError(f"not a socket: {text!r}")


def parse_endpoint(text: str) -> Endpoint:
    """Parse an endpoint in Postfix's spelling, as in smtpd_milters.

    Raises:
        ValueError: *text* is none, its port is out of range, or its port has a name.
    """
    if match := _POSTFIX_INET.fullmatch(text):
        return InetEndpoint(_bare(match["host"]), int(match["port"]))
    if match := _POSTFIX_UNIX.fullmatch(text):
        return UnixEndpoint(match["path"])
    raise ValueError(f"not an endpoint: {text!r}")


def _bare(host: str) -> str:
    return host.strip("[]").removeprefix("ipv6:")


def _is_any(host: str) -> bool:
    if not host:
        return True
    try:
        return parse_ip_address(host).is_unspecified
    except ValueError:
        return False


def _check_port(port: int) -> None:
    if not 0 < port <= _MAX_PORT:
        raise ValueError(f"not a port: {port}")
