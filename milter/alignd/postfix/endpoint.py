"""Where a milter is reached, in libmilter's words and in Postfix's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

_LIBMILTER_INET = re.compile(r"(?P<family>inet6?):(?P<port>\d+)(?:@(?P<host>\S+))?")
_LIBMILTER_UNIX = re.compile(r"(?:unix|local):(?P<path>/.+)", re.DOTALL)
_POSTFIX_INET = re.compile(r"inet:(?P<host>\[[^]]+\]|[^:\s]+):(?P<port>\d+)")
_POSTFIX_UNIX = re.compile(r"unix:(?P<path>\S+)")
_LOOPBACK = {"inet": "127.0.0.1", "inet6": "::1"}


@dataclass(frozen=True, slots=True)
class InetEndpoint:
    """A TCP port, reached at *host*: an IP address without brackets, or a name."""

    host: str
    port: int

    def __str__(self) -> str:
        """In Postfix's words."""
        return f"inet:{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A socket in the file system; a relative *path* is below Postfix's queue directory."""

    path: str

    def __str__(self) -> str:
        """In Postfix's words."""
        return f"unix:{self.path}"


Endpoint = InetEndpoint | UnixEndpoint


def from_libmilter(socket: str) -> Endpoint | None:
    """Where the socket that `milter.socket` names is reached from this machine.

    None for one that systemd hands over (`fd:3`): only its unit knows. A socket that listens on
    all addresses is reached on loopback.
    """
    if match := _LIBMILTER_UNIX.fullmatch(socket):
        return UnixEndpoint(match["path"])
    if match := _LIBMILTER_INET.fullmatch(socket):
        host = match["host"]
        loopback = _LOOPBACK[match["family"]]
        return InetEndpoint(loopback if not host or _is_any(host) else host, int(match["port"]))
    return None


def from_postfix(text: str) -> Endpoint | None:
    """The endpoint that smtpd_milters names with *text*; None when it is none."""
    if match := _POSTFIX_INET.fullmatch(text):
        return InetEndpoint(match["host"].strip("[]").removeprefix("ipv6:"), int(match["port"]))
    if match := _POSTFIX_UNIX.fullmatch(text):
        return UnixEndpoint(match["path"])
    return None


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
