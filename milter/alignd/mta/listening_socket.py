"""Finds the listening socket that the workers share, makes it safe to share, and closes it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def open_to_all() -> Iterator[None]:
    """Create unix sockets to which Postfix, which runs as another user, can connect."""
    before = os.umask(0o111)
    try:
        yield
    finally:
        os.umask(before)


def is_served(path: str) -> bool:
    """Whether a process listens on the unix socket at *path*.

    libmilter would take the path from a process that is still there.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:
            return True  # it hangs, and its queue of connections is full (unix(7), EAGAIN)
        except OSError:
            return False
    return True


def share() -> None:
    """Make the listening socket safe to share, and what it accepts quick to answer.

    A worker that loses the race for a connection would hang in accept() and never end (measured).
    """
    for descriptor in listening():
        os.set_blocking(descriptor, False)
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.family != socket.AF_UNIX:
                # Connections inherit it. Without it an edit waits for the one before it to be
                # acknowledged, which takes the peer 40 ms (measured).
                copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def address() -> tuple[socket.AddressFamily, Any]:
    """Family and address at which the listening socket is reached from this machine."""
    # systemd hands the socket over as descriptor 3, and libmilter works on a copy: all are the
    # same socket, and the lowest is as good as any.
    descriptor = min(listening())
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        name = copy.getsockname()
        return copy.family, name


def close_for_all(besides: Container[int] = ()) -> None:
    """Refuse connections to the listening socket from now on, in every process that shares it.

    Descriptors *besides* stay as they are.

    Without this, the kernel goes on to take connections for as long as libmilter waits on the
    socket, up to five seconds (measured), and no worker would ever answer them.
    """
    for descriptor in listening():
        if descriptor in besides:
            continue
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            copy.shutdown(socket.SHUT_RDWR)


def stop_listening(besides: Container[int] = ()) -> None:
    """Take no new connection in this process, and leave open ones alone.

    Descriptors *besides* stay as they are.

    libmilter has no call for this (measured), and waits on a descriptor number: a socket that no
    client can find takes the place of the listening one under that number.
    """
    with socket.socket(socket.AF_UNIX) as unreachable:
        unreachable.bind("")  # an abstract name that the kernel picks
        unreachable.listen()
        unreachable.setblocking(False)
        for descriptor in listening():
            if descriptor not in besides and descriptor != unreachable.fileno():
                os.dup2(unreachable.fileno(), descriptor)


def listening() -> set[int]:
    """The descriptors of this process that accept connections."""
    found = set()
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as copy:
                if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(number)
        except OSError:
            continue  # the descriptor of the directory itself, closed by now
    return found
