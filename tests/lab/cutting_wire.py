"""A wire to a PostgreSQL that breaks as a transaction ends: before the server hears, or after."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from tests.lab.readiness import PATIENCE

_COMMIT = b"COMMIT"
_MOST = 2**16


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
        """Forward until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target), PATIENCE)
            for pump in (self._to_server, _to_client):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while octets := client.recv(_MOST):
                if self._cut is not None and _COMMIT in octets:
                    self._break(client, server, octets)
                    return
                server.sendall(octets)
        _end(client, server)

    def _break(self, client: socket.socket, server: socket.socket, octets: bytes) -> None:
        cut, self._cut = self._cut, None
        # From now on the client hears nothing of the server.
        client.shutdown(socket.SHUT_WR)
        if cut is Cut.AFTER_THE_SERVER_ENDED:
            server.sendall(octets)
            server.shutdown(socket.SHUT_WR)
            # The other thread reads on until the server, which has done all, closes.
            self._ended_with(server)
        self.cuts += 1
        _end(client, server)

    def _ended_with(self, server: socket.socket) -> None:
        with suppress(OSError):
            while server.recv(_MOST):
                pass


def _to_client(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while octets := server.recv(_MOST):
            client.sendall(octets)
    _end(client)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


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
            _end(listener)
            thread.join(PATIENCE)
