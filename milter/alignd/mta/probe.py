"""Probes alignd through its own socket with what an MTA asks first."""

from __future__ import annotations

import socket
import struct
from typing import Any

_TIMEOUT = 2.0  # seconds
_VERSION, _ACTIONS, _STEPS = 6, 0x1FF, 0x1FFFFF  # what Postfix 3.7 offers
_NEGOTIATE, _QUIT = b"O", b"Q"


def answers(family: socket.AddressFamily, address: Any) -> bool:
    """Whether a worker behind the socket negotiates within two seconds."""
    with socket.socket(family) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(address)
            offer = struct.pack("!III", _VERSION, _ACTIONS, _STEPS)
            connection.sendall(struct.pack("!I", len(offer) + 1) + _NEGOTIATE + offer)
            answer = connection.recv(5)
            connection.sendall(struct.pack("!I", 1) + _QUIT)
        except OSError:
            return False
    return answer[4:] == _NEGOTIATE
