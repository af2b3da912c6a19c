"""What glibc itself reads in resolv.conf(5).

A program that steps into namespaces of its own: for each line that it reads, the octets of a file
in hexadecimal digits, it writes a line of JSON. `reading_of` runs it.
"""

import ctypes
import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from ctypes import POINTER, Structure, Union, c_int, c_uint16, c_uint32, c_ulong, c_void_p
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.support.program import run_program

MOST = 3  # nameservers, MAXNS of resolv.h
_ISOLATED = ("unshare", "--net", "--mount", "--")
_ROTATE, _USE_VC = 0x4000, 0x8  # RES_ROTATE and RES_USEVC of resolv.h
_PATH = Path("/etc/resolv.conf")
_LIMIT = 60  # seconds


@dataclass(frozen=True, slots=True)
class Reading:
    """The nameservers that glibc would ask: address and number of the interface; and how."""

    nameservers: tuple[tuple[str, int], ...]
    rotate: bool
    over_tcp: bool


def readings_of(files: Sequence[bytes]) -> list[Reading]:
    """What glibc reads in each of these files, in a network that has but the interface lo."""
    lines = run_program(
        "tests.support.glibc", lines=[each.hex() for each in files], timeout=_LIMIT
    )
    return [
        Reading(tuple((address, scope) for address, scope in servers), rotate, over_tcp)
        for servers, rotate, over_tcp in map(json.loads, lines)
    ]


class _Address4(Structure):
    _fields_ = (
        *(("family", c_uint16), ("port", c_uint16), ("address", ctypes.c_ubyte * 4)),
        ("padding", ctypes.c_ubyte * 8),
    )


class _Address6(Structure):
    _fields_ = (
        *(("family", c_uint16), ("port", c_uint16), ("flow", c_uint32)),
        *(("address", ctypes.c_ubyte * 16), ("scope_id", c_uint32)),
    )


class _Extension(Structure):
    _fields_ = (
        *(("nscount", c_uint16), ("nsmap", c_uint16 * MOST), ("nssocks", c_int * MOST)),
        *(("nscount6", c_uint16), ("nsinit", c_uint16), ("nsaddrs", POINTER(_Address6) * MOST)),
    )


class _Union(Union):
    _fields_ = (("pad", ctypes.c_ubyte * 52), ("extension", _Extension))


class _State(Structure):
    """`struct __res_state` of resolv/bits/types/res_state.h."""

    _fields_ = (
        *(("retrans", c_int), ("retry", c_int), ("options", c_ulong), ("nscount", c_int)),
        *(("nsaddr_list", _Address4 * MOST), ("id", c_uint16), ("dnsrch", c_void_p * 7)),
        *(("defdname", ctypes.c_ubyte * 256), ("pfcode", c_ulong), ("bits", c_uint32)),
        *(("sort_list", c_uint32 * 20), ("hooks", c_void_p * 2), ("res_h_errno", c_int)),
        *(("vcsock", c_int), ("flags", c_uint32), ("union", _Union)),
        ("room", ctypes.c_ubyte * 256),
    )


def _read() -> tuple[list[tuple[str, int]], bool, bool]:
    libc, state = ctypes.CDLL(None), _State()
    assert libc.__res_ninit(ctypes.byref(state)) == 0
    found = []
    for number in range(state.nscount):
        short, long = state.nsaddr_list[number], state.union.extension.nsaddrs[number]
        if short.family == socket.AF_INET:
            found.append((socket.inet_ntop(socket.AF_INET, bytes(short.address)), 0))
        else:
            address = socket.inet_ntop(socket.AF_INET6, bytes(long.contents.address))
            found.append((address, long.contents.scope_id))
    options = state.options
    libc.__res_nclose(ctypes.byref(state))
    return found, bool(options & _ROTATE), bool(options & _USE_VC)


def main(arguments: Sequence[str]) -> int:
    """Run in namespaces of its own; with an argument, we are in them already."""
    if not arguments:
        return subprocess.run(
            [*_ISOLATED, sys.executable, "-m", "tests.support.glibc", "inside"], check=False
        ).returncode
    with NamedTemporaryFile() as ours:
        subprocess.run(["mount", "--bind", ours.name, _PATH.resolve()], check=True)
        for line in sys.stdin:
            Path(ours.name).write_bytes(bytes.fromhex(line))
            print(json.dumps(_read()))
        subprocess.run(["umount", _PATH.resolve()], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
