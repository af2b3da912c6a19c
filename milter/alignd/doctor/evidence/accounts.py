"""Tells what another user of this machine may do: read a file, connect to a milter."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alignd.config.endpoint import Endpoint, InetEndpoint
from alignd.doctor.facts import Reach
from alignd.doctor.findings import Unknown

_TIMEOUT = 5.0  # seconds
_KEYS_GROUP = "alignd-keys"
"""That of the shipped units, for services that systemd does not know."""
_READ = """\
import os, sys
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        print(error.errno)
    else:
        print(0)
"""
_CONNECT = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(2)
    print(client.connect_ex(sys.argv[1]))
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A user, with all groups in which it acts."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]


def account_of(unit: str, user: str) -> Account | None:
    """Who runs the service *unit*: *user*, unless systemd says otherwise."""
    command = ["systemctl", "show", "--property=LoadState,User,Group,SupplementaryGroups", unit]
    said = said_by(command)
    more = [_KEYS_GROUP]
    if said.get("LoadState") == "loaded":
        user = said.get("User") or "root"
        more = [said.get("Group", ""), *said.get("SupplementaryGroups", "").split()]
    account = find_account(user)
    if account is None:
        return None
    groups = {found.gr_gid for name in more for found in grp.getgrall() if found.gr_name == name}
    return Account(account.name, account.uid, account.gid, account.groups | groups)


def find_account(user: str) -> Account | None:
    """The account of *user*; None if there is none."""
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        return None
    groups = frozenset(os.getgrouplist(user, found.pw_gid))
    return Account(user, found.pw_uid, found.pw_gid, groups)


def unreadable_to(account: Account, paths: Sequence[str]) -> Mapping[str, str]:
    """Which of *paths* *account* cannot open, each with the reason; root asks in its place."""
    said = _asked(account, _READ, paths)
    if isinstance(said, Unknown):
        return {}
    return {path: os.strerror(number) for path, number in zip(paths, said, strict=True) if number}


def reach(endpoint: Endpoint, user: str) -> Reach:
    """Connect to *endpoint*, whose path is absolute, as *user*, whom root can be."""
    if isinstance(endpoint, InetEndpoint):
        try:
            socket.create_connection((endpoint.host, endpoint.port), _TIMEOUT).close()
        except OSError as error:
            return error.strerror or str(error)
        return None
    account = find_account(user)
    if account is None:
        return Unknown(f"whether Postfix reaches {endpoint}: there is no user {user!r}")
    if os.geteuid() not in {0, account.uid}:
        return Unknown(f"whether Postfix reaches {endpoint}: run it as root")
    said = _asked(account, _CONNECT, (endpoint.path,))
    if isinstance(said, Unknown):
        return Unknown(f"whether Postfix reaches {endpoint}: {said.text}")
    return os.strerror(said[0]) if said[0] else None


def _asked(account: Account, program: str, arguments: Sequence[str]) -> tuple[int, ...] | Unknown:
    """The numbers that *program* prints, which Python runs as *account*."""
    is_other = os.geteuid() != account.uid
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
            user=account.uid if is_other else None,
            group=account.gid if is_other else None,
            extra_groups=account.groups if is_other else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Unknown(str(error))
    return tuple(map(int, done.stdout.split()))


def said_by(command: list[str]) -> dict[str, str]:
    """The properties that systemctl(1) prints; none where there is no systemd."""
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
