"""Runs a command under the system call filter of a unit, as systemd.exec(5) has it.

Used as `python -m tests.support.syscallfilter UNIT COMMAND...`: systemd itself needs a machine of
its own, and the kernel's part of the filter does not.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # SCMP_ACT_*, seccomp_init(3)
_EQUAL = 4  # SCMP_CMP_EQ
_UNKNOWN = -1  # __NR_SCMP_ERROR


def allowed(unit: str) -> set[str]:
    """The names of the system calls that *unit*, the text of one that begins with a list of what
    is allowed, lets through."""
    names: set[str] = set()
    for line in unit.splitlines():
        if not line.startswith("SystemCallFilter="):
            continue
        value = line.partition("=")[2]
        listed = {name for word in value.removeprefix("~").split() for name in _members(word)}
        names = names - listed if value.startswith("~") else names | listed
    return names


def _members(word: str) -> Iterator[str]:
    """The system calls of a group, which may contain groups, or the one that is named."""
    if not word.startswith("@"):
        yield word
        return
    command = ["systemd-analyze", "syscall-filter", "--no-pager", word]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    for line in said.splitlines()[1:]:
        if member := line.partition("#")[0].strip():
            yield from _members(member)


def confine(names: set[str]) -> None:
    """Have all system calls but *names* fail in this process from now on."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    filter_ = ctypes.c_void_p(library.seccomp_init(_ERRNO | errno.EPERM))
    for name in sorted(names):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != _UNKNOWN:
            library.seccomp_rule_add(filter_, _ALLOW, number, 0)
    if (failed := library.seccomp_load(filter_)) != 0:
        raise OSError(-failed, "seccomp_load")


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp, seccomp_rule_add(3)."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )


def deny_family(family: socket.AddressFamily) -> None:
    """Have this thread open no socket of *family*, as RestrictAddressFamilies= of a unit does.

    Threads that it starts inherit that; those that run are not affected.
    """
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    filter_ = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    number = library.seccomp_syscall_resolve_name(b"socket")
    is_family = _Comparison(0, _EQUAL, family, 0)
    library.seccomp_rule_add_array(
        filter_, _ERRNO | errno.EAFNOSUPPORT, number, 1, ctypes.byref(is_family)
    )
    if (failed := library.seccomp_load(filter_)) != 0:
        raise OSError(-failed, "seccomp_load")


if __name__ == "__main__":
    confine(allowed(Path(sys.argv[1]).read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])
