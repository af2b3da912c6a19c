"""Sockets that are opened in time, for when the process has no descriptor left for another.

Whoever opens connections and says nothing takes every descriptor of a worker. The messages of the
sessions that are open by then still need DNS, and a socket that is closed to make room for another
would be taken by the next connection, so these stay open, and are used again and again.
"""

from __future__ import annotations

import ctypes
import queue
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

_OF_EACH = {socket.SOCK_DGRAM: 8, socket.SOCK_STREAM: 4}  # a question takes milliseconds
_DISSOLVED = bytes(16)  # a socket address of the family AF_UNSPEC

Family = socket.AddressFamily
Kind = socket.SocketKind


class SpareSockets:
    """A few open sockets of each kind; safe for threads."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        """Open them; a family that the kernel lacks has none."""
        self._free: dict[tuple[Family, Kind], queue.SimpleQueue[socket.socket]] = {
            (family, kind): queue.SimpleQueue() for family in set(families) for kind in _OF_EACH
        }
        self._is_closed = False
        for (family, kind), free in self._free.items():
            for _ in range(_OF_EACH[kind]):
                try:
                    free.put(socket.socket(family, kind))
                except OSError:  # no IPv6, or no descriptor left already
                    break

    @contextmanager
    def borrow(self, family: Family, kind: Kind, seconds: float) -> Iterator[socket.socket]:
        """A socket that nobody else uses meanwhile, waiting for one for at most *seconds*.

        Raises:
            OSError: there is none.
        """
        try:
            spare = self._free[family, kind].get(timeout=max(0.0, seconds))
        except (KeyError, queue.Empty):
            raise OSError("no descriptor is left") from None
        try:
            yield spare
        finally:
            # connect(2) to AF_UNSPEC ends a connection and gives up the local port: the next
            # query leaves from another one, which whoever forges answers would have to guess.
            ctypes.CDLL(None).connect(spare.fileno(), _DISSOLVED, len(_DISSOLVED))
            _empty(spare)
            self._give_back(spare, self._free[family, kind])

    def close(self) -> None:
        """Close them, those that are in use as soon as they no longer are."""
        self._is_closed = True
        for free in self._free.values():
            while not free.empty():
                free.get().close()

    def _give_back(self, spare: socket.socket, free: queue.SimpleQueue[socket.socket]) -> None:
        if self._is_closed:
            spare.close()
        else:
            free.put(spare)


def _empty(spare: socket.socket) -> None:
    """Throw away what has come for the last use, and its error."""
    spare.setblocking(False)
    spare.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    with suppress(OSError):  # nothing is left, or it is no datagram socket
        while True:
            spare.recv(1)
    spare.setblocking(True)
