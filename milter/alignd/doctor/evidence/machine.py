"""Reads this machine: its addresses, the socket as Postfix's user reaches it, its limits."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import stat
import subprocess
from pathlib import Path

from alignd.config.endpoint import Endpoint, InetEndpoint
from alignd.doctor.evidence.accounts import Account, account_of, find_account, said_by
from alignd.doctor.facts import (
    Barrier,
    DescriptorLimit,
    Interfaces,
    MissingPermission,
    SocketState,
)
from alignd.doctor.findings import Skipped, Unknown
from alignd.mail.ip_address import parse_ip_address
from alignd.mta import probe

_TIMEOUT = 5.0  # seconds
_UNIT = "alignd.service"


def interfaces() -> Interfaces:
    """List the addresses of this machine, loopback included."""
    command = ["ip", "-json", "address"]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, timeout=_TIMEOUT, check=True
        )
        links = json.loads(done.stdout)
        return tuple(
            parse_ip_address(found["local"])
            for link in links
            for found in link.get("addr_info", ())
            if "local" in found
        )
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, AttributeError) as error:
        return Unknown(f"which addresses this machine has: ip -json address: {error}")


def socket_state(endpoint: Endpoint, user: str) -> SocketState:
    """Probe alignd at *endpoint*, whose path is absolute, and check that *user* may connect."""
    if isinstance(endpoint, InetEndpoint):
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        return SocketState(probe.answers(family, (endpoint.host, endpoint.port)), None)
    try:
        os.stat(endpoint.path)
    except PermissionError:
        unknown = Unknown(
            f"whether alignd answers: this user may not look at {endpoint.path}: run it as root"
        )
        return SocketState(unknown, unknown)
    except OSError:
        return SocketState(False, None)
    barrier = _barrier_to_socket(endpoint.path, user)
    if not os.access(endpoint.path, os.W_OK):
        unknown = Unknown(
            f"whether alignd answers: this user may not connect to {endpoint.path}: run it as root"
        )
        return SocketState(unknown, barrier)
    return SocketState(probe.answers(socket.AF_UNIX, endpoint.path), barrier)


def descriptors() -> DescriptorLimit:
    """The limit of the unit if systemd has loaded it, else that of this process."""
    said = said_by(["systemctl", "show", "--property=LoadState,LimitNOFILE", _UNIT])
    limit = said.get("LimitNOFILE", "")
    if said.get("LoadState") == "loaded" and limit.isdigit():
        return DescriptorLimit(int(limit), f"LimitNOFILE of {_UNIT}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DescriptorLimit(most, "the limit of this process (ulimit -Hn)")


def barrier_to_key_file(path: str, unit: str, user: str) -> Barrier | Unknown | Skipped | None:
    """What keeps the service *unit* from the file at *path*.

    *user*: who it runs as, unless systemd says otherwise.
    """
    account = account_of(unit, user)
    if account is None:
        return Skipped(f"whether {unit} may read {path}: there is no user {user!r}")
    try:
        return _barrier(path, account, stat.S_IROTH, MissingPermission.READ)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        return Unknown(f"whether {unit} may read {path}: {error.filename}: {name}")


def _barrier_to_socket(path: str, user: str) -> Barrier | Unknown | None:
    account = find_account(user)
    if account is None:
        return Unknown(f"whether Postfix may connect to the socket: there is no user {user!r}")
    try:
        return _barrier(path, account, stat.S_IWOTH, MissingPermission.WRITE)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        return Unknown(f"whether Postfix may connect to the socket: {error.filename}: {name}")


def _barrier(
    path: str, account: Account, wanted: int, missing: MissingPermission
) -> Barrier | None:
    """The first directory on the way to *path* that *account* may not enter, or the file itself.

    Raises:
        OSError: one of them cannot be looked at.
    """
    for directory in reversed(Path(os.path.realpath(path)).parents):
        if not _may(os.stat(directory), account, stat.S_IXOTH):
            return Barrier(str(directory), MissingPermission.ENTER, account.name)
    if not _may(os.stat(path), account, wanted):
        return Barrier(path, missing, account.name)
    return None


def _may(found: os.stat_result, account: Account, wanted: int) -> bool:
    """Whether the file mode allows it; access control lists are ignored."""
    if not account.uid:
        return True
    if found.st_uid == account.uid:
        return bool(found.st_mode & wanted << 6)
    if found.st_gid in account.groups:
        return bool(found.st_mode & wanted << 3)
    return bool(found.st_mode & wanted)
