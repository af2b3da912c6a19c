"""A wire to a PostgreSQL that breaks as a transaction ends: before the server hears, or after."""

import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import Enum

from tests.lab.readiness import PATIENCE

_COMMIT = b"COMMIT"
_MOST = 2**16
_MOST_AT_ONCE = 8  # connections


class Cut(Enum):
    """Where a wire breaks."""

    BEFORE_THE_SERVER_HEARS = "the server has not heard of COMMIT"
    AFTER_THE_SERVER_ENDED = "the server has committed, and nobody hears of it"


class CuttingWire:
    """Forwards connections to a port of loopback."""

    def __init__(self, listener: socket.socket, target: int) -> None:
        self._listener = listener
        self._target = target
        self._cut: Cut | None = None
        self.cuts = 0
        """How often it has broken."""

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut_next(self, cut: Cut) -> None:
        """Break at the end of the next transaction."""
        self._cut = cut

    def forward(self) -> None:
        """Forward until the listener is shut down."""
        with ThreadPoolExecutor(_MOST_AT_ONCE) as threads:
            while True:
                try:
                    client, _ = self._listener.accept()
                except OSError:
                    return
                threads.submit(self._join, client)

    def _join(self, client: socket.socket) -> None:
        target = ("127.0.0.1", self._target)
        with client, socket.create_connection(target, PATIENCE) as server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [], PATIENCE)
                if server in ready:
                    if not (octets := server.recv(_MOST)):
                        return
                    client.sendall(octets)
                if client in ready:
                    if not (octets := client.recv(_MOST)):
                        return
                    if self._cut is not None and _COMMIT in octets:
                        self._break(client, server, octets)
                        return
                    server.sendall(octets)

    def _break(self, client: socket.socket, server: socket.socket, octets: bytes) -> None:
        cut, self._cut = self._cut, None
        self.cuts += 1
        client.shutdown(socket.SHUT_RDWR)  # may ask again before the server has ended
        if cut is Cut.AFTER_THE_SERVER_ENDED:
            server.sendall(octets)
            server.shutdown(socket.SHUT_WR)
            while server.recv(_MOST):  # until it has done all, and closes
                pass


@contextmanager
def run_cutting_wire(target: int) -> Iterator[CuttingWire]:
    """Run one to the port *target* until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = CuttingWire(listener, target)
        thread = threading.Thread(target=wire.forward, daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
