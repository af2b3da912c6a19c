"""Reads resolv.conf(5) as the GNU C library does, which Postfix asks: what one takes, both take.

What the manual does not say is in resolv/res_init.c; `tests/unit/config/test_resolv_conf.py` holds
all of it against the library itself. A line that names no nameserver costs only itself. Besides
`nameserver`, these options count:

* `rotate`: questions begin with one nameserver after the other.
* `use-vc`: questions go over TCP.

All else is ignored on purpose. `timeout` and `attempts`: dns.timeout is the budget of a message,
and the next nameserver is asked after a fraction of a second. `edns0`: it is always offered.
`trust-ad`: alignd draws nothing from the AD flag. `single-request`, `single-request-reopen` and
`no-aaaa`: they are about A and AAAA side by side, for getaddrinfo(3). `no-reload`: a service that
runs for months has to follow. `domain`, `search`, `ndots`, `no-tld-query`: all names are complete.
`sortlist`: the order of addresses decides nothing. The variables RES_OPTIONS and LOCALDOMAIN are
for the programs of a user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from alignd.config.option_types import Nameserver
from alignd.mail.printable import printable

MAX_NAMESERVERS = 3
"""MAXNS of resolv.h: the library asks no more."""
_BLANKS = b" \t"
_NAMESERVER = re.compile(rb"nameserver[ \t]+([^ \t]*)")
_MEANT = re.compile(rb"(\xef\xbb\xbf)?\s*nameserver\b", re.IGNORECASE)
_OPTIONS = re.compile(rb"options[ \t](.*)", re.DOTALL)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*", re.ASCII)
_MAX_PARTS = 4  # of an IPv4 address
_OCTET = 0xFF
_SHOWN = 60  # octets of a line, in a problem


@dataclass(frozen=True, slots=True)
class LineProblem:
    """A line, from 1, that does not do what was probably meant."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What a file says; it may name no nameserver at all."""

    nameservers: tuple[Nameserver, ...]
    rotate: bool
    """Whether each question begins with another nameserver than the one before."""
    over_tcp: bool
    """Whether questions go over TCP only."""
    problems: tuple[LineProblem, ...]


def parse_resolv_conf(content: bytes) -> ResolvConf:
    """Read the octets of a file; none of them make it fail."""
    nameservers: list[Nameserver] = []
    problems: list[LineProblem] = []
    options: list[bytes] = []
    for number, whole in enumerate(content.split(b"\n"), 1):
        line = whole.partition(b"\0")[0]  # where a string of C ends
        if match := _NAMESERVER.match(line):
            try:
                nameserver = _nameserver(match[1])
            except ValueError as error:
                problems.append(LineProblem(number, str(error)))
                continue
            if len(nameservers) == MAX_NAMESERVERS:
                text = f"not asked: only the first {MAX_NAMESERVERS} nameservers are"
                problems.append(LineProblem(number, text))
                continue
            nameservers.append(nameserver)
        elif match := _OPTIONS.match(line):
            options += match[1].replace(b"\t", b" ").split(b" ")
        elif _MEANT.match(line):
            text = f"a line must begin with 'nameserver' and a blank, to be read: {_shown(line)}"
            problems.append(LineProblem(number, text))
    return ResolvConf(
        tuple(nameservers), _has(options, b"rotate"), _has(options, b"use-vc"), tuple(problems)
    )


def _has(options: list[bytes], name: bytes) -> bool:
    return any(option.startswith(name) for option in options)  # as the library compares them


def _nameserver(written: bytes) -> Nameserver:
    """Parse the address of a nameserver, perhaps with an interface behind a "%".

    Raises:
        ValueError: it is none.
    """
    text = written.decode(errors="surrogateescape")  # as file names and those of interfaces are
    address, _, scope = text.partition("%")
    try:
        # inet_aton(3) takes nothing behind the address.
        found = _ipv4(text) if ":" not in text else IPv6Address(address)
    except ValueError:
        raise ValueError(f"not an IP address: {_shown(written)}") from None
    return Nameserver.at(found, scope=scope)


def _ipv4(text: str) -> IPv4Address:
    """Parse what inet_aton(3) takes: one to four numbers, each decimal, octal or hexadecimal.

    Raises:
        ValueError: *text* is something else.
    """
    parts = text.split(".")
    if len(parts) > _MAX_PARTS or not all(map(_NUMBER.fullmatch, parts)):
        raise ValueError
    *first, last = map(_number, parts)
    room = 8 * (_MAX_PARTS - len(first))  # bits that are left for the last one
    if any(each > _OCTET for each in first) or last >> room:
        raise ValueError
    head = sum(each << 8 * (_MAX_PARTS - 1 - place) for place, each in enumerate(first))
    return IPv4Address(head | last)


def _number(text: str) -> int:
    if text[:2].lower() == "0x":
        return int(text, 16)
    return int(text, 8 if text.startswith("0") else 10)


def _shown(written: bytes) -> str:
    return repr(printable(written[:_SHOWN].strip(_BLANKS).decode(errors="replace")))
