"""The facts about this machine that the checks look at, read by `evidence`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum

from alignd.config.endpoint import Endpoint
from alignd.config.option_types import Nameserver
from alignd.doctor.findings import Skipped, Unknown
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import LookupFailed
from alignd.postfix.config import PostfixConfig
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.keyring import Keyring
from alignd.telemetry.status import InForce, Status, Versions

Interfaces = tuple[IpAddress, ...] | Unknown
"""The addresses of this machine, loopback included."""
Resolvers = Mapping[Nameserver, float | LookupFailed | None] | Unknown
"""Response time of each nameserver in seconds; None if it was not queried."""

RunningService = Status | Unknown | Skipped
"""What the service says that runs here."""
TableLookup = Callable[[tuple[str, ...], tuple[str, ...]], Mapping[str, str] | Unknown]
"""Asks tables of Postfix, one after the other, for keys; a key without an answer is missing."""


@dataclass(frozen=True, slots=True)
class MapTrouble:
    """What Postfix has instead of an answer: it then says 451."""

    problem: str


AskMap = Callable[[str, tuple[str, ...]], Mapping[str, str] | MapTrouble | Unknown]
"""Asks a table, as Postfix writes it, for keys, as Postfix's own user."""


Reach = str | Unknown | None
"""Why Postfix cannot connect to a milter; None if it can."""


class MissingPermission(Enum):
    """What a user may not do on the path to a socket or a file."""

    ENTER = "may not enter the directory"
    WRITE = "may not write to the socket"
    READ = "may not read"


@dataclass(frozen=True, slots=True)
class Barrier:
    """The file or directory that keeps a user from a socket or a file."""

    path: str
    missing: MissingPermission
    user: str


@dataclass(frozen=True, slots=True)
class SocketState:
    """Whether alignd answers on its socket, and whether Postfix's user may connect to it."""

    answers: bool | Unknown
    barrier: Barrier | Unknown | None
    """What keeps Postfix's user from a unix socket; None if nothing does."""


@dataclass(frozen=True, slots=True)
class DescriptorLimit:
    """How many files a process of alignd may have open."""

    limit: int
    source: str
    """What sets the limit, for the text of a finding."""


@dataclass(frozen=True, slots=True)
class OpenDkimSettings:
    """The settings of an OpenDKIM, as its file has them."""

    path: str
    settings: Mapping[str, str]
    """By name, in lower case."""
    internal_hosts: tuple[str, ...] | None
    """The entries of InternalHosts; None if it is not set."""


@dataclass(frozen=True, slots=True)
class RspamdSigning:
    """The settings of an rspamd that keep it from signing, by default both."""

    signs_for_other_senders: bool
    """Whether it signs where the envelope sender is in another domain than From."""
    signs_for_other_logins: bool
    """Whether it signs where the login is of another domain than From."""


@dataclass(frozen=True, slots=True)
class Files:
    """What is on the disk now, as a service that started would have it in force."""

    in_force: InForce
    versions: Versions


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts about this machine."""

    interfaces: Interfaces
    socket: SocketState
    resolvers: Resolvers
    odd_lines: tuple[str, ...]
    """What is wrong with lines of resolv.conf(5), each with its place."""
    descriptors: DescriptorLimit
    cores: int
    suffixes_released: date | None
    """Release date of the public suffix list; None if its package does not say."""
    today: date


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of keys for return addresses."""

    path: str
    keyring: Keyring | KeyTrouble
    barriers: tuple[Barrier | Unknown | Skipped, ...]
    """What keeps the users of the services from it."""


@dataclass(frozen=True, slots=True)
class ReturnSigner:
    """The OpenDKIM behind the milter of the way back."""

    settings: OpenDkimSettings
    authors: tuple[str, ...]
    """Whose mail it signs: domains, addresses, or patterns of them."""


@dataclass(frozen=True, slots=True)
class ReturnLeg:
    """The way back: the Postfix that takes mail for return addresses, and what it asks."""

    postfix: PostfixConfig | Unknown
    directory: str
    """Of its main.cf and master.cf; empty for Postfix's default."""
    is_apart: bool
    """Whether it is another Postfix than the one that sends the helpdesk's mail."""
    endpoint: Endpoint
    """Where it reaches the milter of `alignd return`."""
    is_handed_over: bool
    """Whether systemd owns that socket, so that *endpoint* is a guess."""
    socket: SocketState
    tables: TableLookup
    ask_map: AskMap
    signer: ReturnSigner | Unknown | Skipped
    keys: Mapping[str, KeyFile]
    """By path, as return.keys has it."""
    service: RunningService
    files: Files
