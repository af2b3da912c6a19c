"""A client of a socketmap, which asks as Postfix does (socketmap_table(5))."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.lab.readiness import PATIENCE

MAP = "return"
_TOO_LONG = 100_000  # octets of a reply, to Postfix


class ClosedError(ConnectionError):
    """The server closed the connection before all replies had come; *replies* are those before."""

    def __init__(self, replies: tuple[str, ...]) -> None:
        super().__init__(f"closed after {len(replies)} replies")
        self.replies = replies


class SocketmapConnection:
    """A connection to a socketmap, until the end of the block."""

    def __init__(self, path: Path, timeout: float = PATIENCE) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self._heard = b""
        try:
            self.socket.connect(str(path))
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> "SocketmapConnection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def ask(self, key: str, name: str = MAP) -> str:
        """The reply to one question."""
        (reply,) = self.ask_all([key], name)
        return reply

    def ask_all(self, keys: Sequence[str], name: str = MAP) -> tuple[str, ...]:
        """The replies to questions that are sent at once."""
        self.socket.sendall(b"".join(request(key, name) for key in keys))
        return self.replies(len(keys))

    def replies(self, count: int) -> tuple[str, ...]:
        """The next replies.

        Raises:
            ClosedError: fewer come.
            TimeoutError: they do not come in time.
        """
        heard: list[str] = []
        while len(heard) < count:
            try:
                heard.append(self._reply())
            except ConnectionError as error:
                raise ClosedError(tuple(heard)) from error
        return tuple(heard)

    def _reply(self) -> str:
        while b":" not in self._heard:
            self._receive()
        length, _, _ = self._heard.partition(b":")
        assert length.isdigit(), length
        assert int(length) < _TOO_LONG
        end = len(length) + 1 + int(length)
        while len(self._heard) <= end:
            self._receive()
        reply = self._heard[len(length) + 1 : end].decode()
        assert self._heard[end : end + 1] == b",", self._heard
        self._heard = self._heard[end + 1 :]
        return reply

    def _receive(self) -> None:
        octets = self.socket.recv(65536)
        if not octets:
            raise ConnectionResetError
        self._heard += octets


def request(key: str, name: str = MAP) -> bytes:
    """One question, as it is sent."""
    content = f"{name} {key}".encode()
    return b"%d:%b," % (len(content), content)


def ask(path: Path, key: str) -> str:
    """The reply to one question, on a connection of its own.

    As Postfix does, it asks once more on a new connection when the first is closed under it.
    """
    with suppress(ConnectionError), SocketmapConnection(path) as connection:
        return connection.ask(key)
    with SocketmapConnection(path) as connection:
        return connection.ask(key)
