"""A network for parts of a test: sockets and processes that begin in it stay there.

Unlike `namespaces`, it needs no process of its own: it vanishes with the last that is in it.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_OURS = Path("/proc/thread-self/ns/net")


class Network:
    """A network with loopback and a pair of interfaces, `near` and `far`, that are joined."""

    def __init__(self) -> None:
        """Make it; it needs the right to do so."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open(_OURS, os.O_RDONLY)
        try:
            _succeed(libc.unshare(_CLONE_NEWNET))
            self._descriptor = os.open(_OURS, os.O_RDONLY)
            _succeed(libc.setns(before, _CLONE_NEWNET))
        finally:
            os.close(before)
        with self.entered():
            _run("ip link set lo up")
            _run("ip link add near type veth peer name far")
            _run("ip link set near up")
            _run("ip link set far up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread in it."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open(_OURS, os.O_RDONLY)
        try:
            _succeed(libc.setns(self._descriptor, _CLONE_NEWNET))
            yield
        finally:
            _succeed(libc.setns(before, _CLONE_NEWNET))
            os.close(before)

    def add_address(self, address: str, interface: str) -> None:
        """Give an interface an address, with the length of its prefix."""
        with self.entered():
            _run(f"ip address add {address} dev {interface} nodad")

    def number_of(self, interface: str) -> int:
        with self.entered():
            return socket.if_nametoindex(interface)

    def close(self) -> None:
        os.close(self._descriptor)


def _succeed(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True)
