"""Starts daemons in the foreground and waits, never longer than a limit, until they are ready."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

LIMIT = 30.0

Found = TypeVar("Found")


class NotReadyError(Exception):
    """Something did not come about in time; the text says what."""


def start_daemon(
    command: Sequence[str | Path],
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start *command*, with *log* for what it prints, and return when it is *ready*.

    Who may use its sockets is not restricted: Postfix and the daemons are different users.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**os.environ, **(environment or {})},
            umask=0,
        )
    wait_for(lambda: ready() or process.poll() is not None, f"start of {command[0]}")
    if process.returncode is not None:
        raise NotReadyError(f"{command[0]} ended with status {process.returncode}")


def wait_for(look: Callable[[], Found | None], what: str, limit: float = LIMIT) -> Found:
    """Return the first true value of *look*; NotReadyError names *what* if there is none."""
    deadline = time.monotonic() + limit
    while not (found := look()):
        if time.monotonic() > deadline:
            raise NotReadyError(f"{what}: not within {limit:.0f} seconds")
        time.sleep(0.02)
    return found


def accepts(address: Path | tuple[str, int]) -> bool:
    """Whether somebody accepts connections at the path or at the host and port."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        target = str(address) if isinstance(address, Path) else address
        return connection.connect_ex(target) == 0
