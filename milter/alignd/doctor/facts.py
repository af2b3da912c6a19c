"""What an examination knows of the machine: values, gathered elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum

from alignd.config.option_types import Nameserver
from alignd.doctor.findings import CannotSay
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import LookupFailed

Interfaces = tuple[IpAddress, ...] | CannotSay
"""The addresses of this machine, loopback among them."""
Resolvers = Mapping[Nameserver, float | LookupFailed | None] | CannotSay
"""How many seconds each nameserver takes for an answer; None where it was not asked."""


class Permission(Enum):
    """What Postfix's user lacks on the way to a socket."""

    ENTER = "may not enter the directory"
    WRITE = "may not write to the socket"


@dataclass(frozen=True, slots=True)
class Barrier:
    """The place where Postfix's user is stopped."""

    path: str
    permission: Permission
    user: str


@dataclass(frozen=True, slots=True)
class SocketState:
    """How alignd's socket is found."""

    answers: bool | CannotSay
    barrier: Barrier | CannotSay | None
    """Where Postfix's user is stopped on the way to a unix socket; None when nowhere."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """How many files a process of alignd may have open."""

    limit: int
    source: str
    """Who says so."""


@dataclass(frozen=True, slots=True)
class Machine:
    """All of it."""

    interfaces: Interfaces
    socket: SocketState
    resolvers: Resolvers
    descriptors: Descriptors
    cores: int
    suffixes_released: date | None
    """Of when the public suffix list is; None when its package does not say."""
    today: date
