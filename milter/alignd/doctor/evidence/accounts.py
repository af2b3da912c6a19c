"""Tells what another user of this machine may do: read a file, connect to a milter."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from alignd.config.endpoint import Endpoint, InetEndpoint
from alignd.doctor.facts import Reach
from alignd.doctor.findings import Unknown

_TIMEOUT = 5.0  # seconds
_KEYS_GROUP = "alignd-keys"
"""That of the shipped units, for services that systemd does not know."""


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


def unreadable_to(account: Account, paths: Iterable[str]) -> Mapping[str, str]:
    """Which of *paths* *account* cannot open, each with the reason; root looks in its place."""
    found = {}
    with _acting_as(account):
        for path in paths:
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            except OSError as error:
                found[path] = error.strerror or str(error)
    return found


def reach(endpoint: Endpoint, user: str) -> Reach:
    """Connect to *endpoint*, whose path is absolute, as *user*, whom root can be."""
    account = find_account(user)
    if account is None:
        return Unknown(f"whether Postfix reaches {endpoint}: there is no user {user!r}")
    if os.geteuid() not in {0, account.uid}:
        return Unknown(f"whether Postfix reaches {endpoint}: run it as root")
    try:
        with _acting_as(account):
            _connect(endpoint)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _connect(endpoint: Endpoint) -> None:
    if isinstance(endpoint, InetEndpoint):
        socket.create_connection((endpoint.host, endpoint.port), _TIMEOUT).close()
        return
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT)
        client.connect(endpoint.path)


@contextmanager
def _acting_as(account: Account) -> Iterator[None]:
    """Have the rights of *account* in the block, and no others; only root needs to change."""
    own = os.geteuid(), os.getegid(), os.getgroups()
    if own[0] == account.uid:
        yield
        return
    try:
        os.setgroups(sorted(account.groups))
        os.setegid(account.gid)
        os.seteuid(account.uid)
        yield
    finally:
        os.seteuid(own[0])
        os.setegid(own[1])
        os.setgroups(own[2])


def said_by(command: list[str]) -> dict[str, str]:
    """The properties that systemctl(1) prints; none where there is no systemd."""
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
