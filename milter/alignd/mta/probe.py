"""Probes alignd through its own socket, as an MTA speaks to it."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

PROBE_SECONDS = 5.0
"""How long a whole message may take: it needs no DNS, and gets more time than other mail does."""
_TIMEOUT = 2.0  # seconds, of a negotiation
_VERSION, _ACTIONS, _STEPS = 6, 0x1FF, 0x1FFFFF  # what Postfix 3.7 offers
_NO_REPLY_TO_CONNECT = 0x1000  # SMFIP_NR_CONN
_NEGOTIATE, _QUIT, _CONTINUE, _PROGRESS = b"O", b"Q", b"c", b"p"
# The client is of an unknown kind and has no address: whatever the configuration, its mail is no
# helpdesk's, and judged without DNS. RFC 6761, section 6.4: there is nobody at .invalid.
_CONNECT = (b"C", b"probe\0U")
_MESSAGE = (
    (b"M", b"<>\0"),
    (b"R", b"<probe@alignd.invalid>\0"),
    (b"L", b"From\0 <probe@alignd.invalid>\0"),
)


def answers(family: socket.AddressFamily, address: Any) -> bool:
    """Whether a worker behind the socket negotiates within two seconds."""
    with socket.socket(family) as connection:
        try:
            _Client(connection, address, _TIMEOUT).negotiate()
        except OSError:
            return False
    return True


def answers_message(family: socket.AddressFamily, address: Any, queue_id: str) -> bool:
    """Whether a worker behind the socket answers a whole message within PROBE_SECONDS.

    Any answer will do: a service that refuses mail is not mended by a restart. *queue_id* is the
    one by which `mta.session` knows the message.
    """
    with socket.socket(family) as connection:
        try:
            client = _Client(connection, address, PROBE_SECONDS)
            if client.negotiate() & _NO_REPLY_TO_CONNECT:
                client.say(_CONNECT)
            elif client.ask(_CONNECT) != _CONTINUE:
                return True  # milter.max_connections is reached
            macro = (b"D", b"Ei\0" + queue_id.encode() + b"\0")
            client.ask(*_MESSAGE, macro, (b"E", b""))
            client.say((_QUIT, b""))
        except OSError:
            return False
    return True


class _Client:
    """An MTA's side of a connection, for some seconds in all."""

    def __init__(self, connection: socket.socket, address: Any, seconds: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + seconds
        connection.settimeout(seconds)
        connection.connect(address)

    def negotiate(self) -> int:
        """The steps of the protocol that the milter has chosen."""
        self.say((_NEGOTIATE, struct.pack("!III", _VERSION, _ACTIONS, _STEPS)))
        letter, payload = self._receive()
        if letter != _NEGOTIATE:
            raise ConnectionError(letter)
        steps: int = struct.unpack_from("!I", payload, 8)[0]
        return steps

    def say(self, *packets: tuple[bytes, bytes]) -> None:
        self._connection.sendall(
            b"".join(struct.pack("!I", len(rest) + 1) + letter + rest for letter, rest in packets)
        )

    def ask(self, *packets: tuple[bytes, bytes]) -> bytes:
        """The letter of the answer."""
        self.say(*packets)
        while (letter := self._receive()[0]) == _PROGRESS:
            pass
        return letter

    def _receive(self) -> tuple[bytes, bytes]:
        (size,) = struct.unpack("!I", self._exactly(4))
        packet = self._exactly(size)
        return packet[:1], packet[1:]

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            if not (part := self._connection.recv(size - len(found))):
                raise ConnectionResetError
            found += part
        return found
