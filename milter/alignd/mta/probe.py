"""Probes alignd through its own socket, as an MTA speaks to it, on whichever leg it serves."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

PROBE_SECONDS = 5.0
"""How long a whole message may take: it needs no DNS, and gets more time than other mail does."""
_TIMEOUT = 2.0  # seconds, of a negotiation
_VERSION, _ACTIONS, _STEPS = 6, 0x1FF, 0x1FFFFF  # what Postfix 3.7 offers
_NEGOTIATE, _QUIT, _CONTINUE, _PROGRESS = b"O", b"Q", b"c", b"p"
_MACRO, _END = b"D", b"E"
_OPTIONAL = {
    b"C": (0x1, 0x1000),
    b"H": (0x2, 0x2000),
    b"M": (0x4, 0x4000),
    b"R": (0x8, 0x8000),
    b"T": (0x200, 0x10000),
    b"L": (0x20, 0x80),
}
"""The steps with which a milter wants a command not to be said (SMFIP_NOCONNECT, ...), and does
not answer it (SMFIP_NR_CONN, ...)."""
# The client is of an unknown kind and has no address: whatever the configuration, its mail is no
# helpdesk's, and for nobody who has a return address, and judged without DNS. RFC 6761, section
# 6.4: there is nobody at .invalid.
_MESSAGE = (
    (b"C", b"probe\0U"),
    (b"H", b"probe.invalid\0"),
    (b"M", b"<>\0"),
    (b"R", b"<probe@alignd.invalid>\0"),
    (b"T", b""),
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
            client.negotiate()
            if any(client.tell(*packet) != _CONTINUE for packet in _MESSAGE):
                return True  # such as where milter.max_connections is reached
            client.say(_MACRO, b"Ei\0" + queue_id.encode() + b"\0")
            client.ask(_END)
            client.say(_QUIT)
            client.flush()
        except OSError:
            return False
    return True


class _Client:
    """An MTA's side of a connection, for some seconds in all."""

    def __init__(self, connection: socket.socket, address: Any, seconds: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + seconds
        self._steps = 0
        self._unsent = b""
        connection.settimeout(seconds)
        connection.connect(address)

    def negotiate(self) -> None:
        """Keep from now on to the steps of the protocol that the milter chooses."""
        self.say(_NEGOTIATE, struct.pack("!III", _VERSION, _ACTIONS, _STEPS))
        self.flush()
        letter, payload = self._receive()
        if letter != _NEGOTIATE:
            raise ConnectionError(letter)
        (self._steps,) = struct.unpack_from("!I", payload, 8)

    def say(self, letter: bytes, payload: bytes = b"") -> None:
        """Say it in one write with all until the next answer: over TCP one waits for another."""
        self._unsent += struct.pack("!I", len(payload) + 1) + letter + payload

    def ask(self, letter: bytes, payload: bytes = b"") -> bytes:
        """The letter of the answer."""
        self.say(letter, payload)
        self.flush()
        while (answer := self._receive()[0]) == _PROGRESS:
            pass
        return answer

    def tell(self, letter: bytes, payload: bytes) -> bytes:
        """What is answered, as far as it is wanted and answered at all, else _CONTINUE."""
        unwanted, unanswered = _OPTIONAL[letter]
        if self._steps & unwanted:
            return _CONTINUE
        if not self._steps & unanswered:
            return self.ask(letter, payload)
        self.say(letter, payload)
        return _CONTINUE

    def flush(self) -> None:
        self._connection.sendall(self._unsent)
        self._unsent = b""

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
