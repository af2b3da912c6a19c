"""Chooses the nameservers to ask: those of the configuration, else those of resolv.conf(5)."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from alignd.config.file import ConfigProblem
from alignd.config.option_types import Nameserver
from alignd.config.resolv_conf import parse_resolv_conf
from alignd.config.settings import DnsOptions

RESOLV_CONF = Path("/etc/resolv.conf")
_MAX_OCTETS = 2**20  # whatever the path leads to: the rest has no line that anybody has written


class ResolverError(RuntimeError):
    """There is no nameserver to ask; the message says why, and where to configure one."""

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        why = "; ".join(map(str, problems))
        super().__init__(f"no nameserver: {why}; set dns.nameservers")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Nameservers:
    """The nameservers to ask, how, and what is wrong where they are named."""

    servers: tuple[Nameserver, ...]
    rotate: bool = False
    """Whether each question begins with another one than the question before."""
    over_tcp: bool = False
    """Whether nothing is asked over UDP."""
    problems: tuple[ConfigProblem, ...] = ()
    """Of the last reading."""
    is_refused: bool = False
    """Whether the last reading named no nameserver, so that these are of one before."""

    def asks_like(self, other: Nameservers) -> bool:
        """Whether a question that is asked of *other* would be asked in the same way."""
        return (self.servers, self.rotate, self.over_tcp) == (
            other.servers,
            other.rotate,
            other.over_tcp,
        )

    def read_again(self, path: Path = RESOLV_CONF) -> Nameservers:
        """What the file at *path* names now; if that is none, still these."""
        try:
            return read_nameservers(path)
        except ResolverError as error:
            return replace(self, problems=error.problems, is_refused=True)


def nameservers_of(settings: DnsOptions, path: Path = RESOLV_CONF) -> Nameservers:
    """The nameservers of *settings*, or the system's, which the file at *path* names.

    Raises:
        ResolverError: the system names none.
    """
    return Nameservers(settings.nameservers) if settings.nameservers else read_nameservers(path)


def read_nameservers(path: Path = RESOLV_CONF) -> Nameservers:
    """Read the nameservers that the file at *path* names.

    Where there is none, the C library asks loopback. alignd does not: such a file is rather one
    that nobody has written yet, and all mail would be rewritten until somebody wonders.

    Raises:
        ResolverError: it names none, or cannot be read.
    """
    try:
        found = parse_resolv_conf(_octets_in(path))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ResolverError((ConfigProblem(str(path), 1, problem),)) from error
    problems = tuple(ConfigProblem(str(path), each.line, each.text) for each in found.problems)
    if not found.nameservers:
        nothing = ConfigProblem(str(path), 1, "has no line 'nameserver ADDRESS'")
        raise ResolverError(problems or (nothing,))
    return Nameservers(found.nameservers, found.rotate, found.over_tcp, problems)


def _octets_in(path: Path) -> bytes:
    # A pipe in its place must not hold up the service.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MAX_OCTETS)
    finally:
        os.close(descriptor)
