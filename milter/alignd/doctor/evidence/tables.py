"""Asks Postfix's lookup tables with postmap(1), which changes none of them."""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from alignd.doctor.evidence.postconf import PostfixError, program
from alignd.doctor.facts import MapTrouble
from alignd.doctor.findings import Unknown

_TIMEOUT = 5.0  # seconds; a table behind a socket that is down is tried for ten
_PROXYMAP = "private/proxymap"
_PROXY = "proxy:"
_UNIX = re.compile(r"socketmap:unix:(.+):[^:]+")


def look_up(
    tables: tuple[str, ...], keys: tuple[str, ...], config: Path | None, queue: str
) -> Mapping[str, str] | Unknown:
    """Ask *tables*, one after the other, for each of *keys*; a key without an answer is missing.

    Relative paths begin at *queue*, the queue directory, as for Postfix itself.
    """
    found = _asked(tables, keys, config, queue, None)
    return Unknown(found.problem) if isinstance(found, MapTrouble) else found


def ask_map(
    table: str, keys: tuple[str, ...], config: Path | None, queue: str, user: str
) -> Mapping[str, str] | MapTrouble | Unknown:
    """Ask one *table* for *keys* in the place of Postfix's *user*, whom root can be.

    Where Postfix runs it is asked by way of its proxymap(8), if *table* says so.
    """
    direct = table.removeprefix(_PROXY)
    if os.geteuid():
        match = _UNIX.fullmatch(direct)
        path = os.path.join(queue, match[1]) if match else ""
        if match and os.path.exists(os.path.dirname(path)) and not os.access(path, os.W_OK):
            return Unknown(f"this user may not connect to {path}: run it as root")
        return _asked((direct,), keys, config, queue, None)
    try:
        pwd.getpwnam(user)
    except KeyError:
        return Unknown(f"there is no user {user!r}")
    is_proxied = table != direct and _listens(os.path.join(queue, _PROXYMAP))
    return _asked((table if is_proxied else direct,), keys, config, queue, user)


def _asked(
    tables: tuple[str, ...],
    keys: tuple[str, ...],
    config: Path | None,
    queue: str,
    user: str | None,
) -> Mapping[str, str] | MapTrouble:
    where = ["-c", str(config.resolve())] if config else []
    account = pwd.getpwnam(user) if user else None
    try:
        done = subprocess.run(  # noqa: S603
            [program("postmap"), *where, "-q", "-", *tables],
            input="".join(f"{key}\n" for key in keys).encode(),
            capture_output=True,
            cwd=queue,
            timeout=_TIMEOUT,
            check=False,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            # As daemons of Postfix have it, chroot_uid(3).
            extra_groups=account and os.getgrouplist(account.pw_name, account.pw_gid),
        )
    except subprocess.TimeoutExpired:
        return MapTrouble(f"it did not answer within {_TIMEOUT:.0f} s")
    except (OSError, PostfixError) as error:
        return MapTrouble(f"postmap: {error}")
    said = done.stderr.decode(errors="replace")
    # Its exit status is the same for an error and for no answer.
    if failure := re.search(r"^postmap: fatal: (.*)", said, re.M):
        told = re.search(r"socketmap server temporary error: (.*)", said)
        return MapTrouble(told[1] if told else failure[1])
    pairs = (line.partition("\t") for line in done.stdout.decode(errors="replace").splitlines())
    return {key: answer for key, _, answer in pairs}


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT)
        try:
            client.connect(path)
        except OSError:
            return False
    return True
