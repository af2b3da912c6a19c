"""Responsible for asking rspamd what it thinks of a message."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from tests.lab import cast
from tests.verifiers import places
from tests.verifiers.daemons import RSPAMD_ENDPOINT

_PATIENCE = 60  # seconds


@dataclass(frozen=True, slots=True)
class Opinion:
    """The symbols that rspamd gives a message, with their options."""

    symbols: dict[str, list[str]]

    def dmarc(self) -> str:
        """Its symbol for DMARC and the domain that it judged."""
        for name, options in self.symbols.items():
            if name.startswith("DMARC_"):
                return " ".join([name, *options[:1]])
        return ""


def ask(message: bytes, source: str, envelope_sender: str, recipients: Sequence[str]) -> Opinion:
    """Have *message* judged as if the receiver got it from *source* in this envelope."""
    host, port = RSPAMD_ENDPOINT
    connection = HTTPConnection(host, port, timeout=_PATIENCE)
    connection.putrequest("POST", "/checkv2")
    headers = [
        ("Content-Length", str(len(message))),
        ("IP", source),
        ("Helo", cast.RELAY),
        ("From", f"<{envelope_sender}>"),
        ("MTA-Name", places.RECEIVER),
        *(("Rcpt", f"<{recipient}>") for recipient in recipients),
    ]
    for name, value in headers:
        connection.putheader(name, value.encode())
    connection.endheaders(message)
    answer: dict[str, Any] = json.load(connection.getresponse())
    connection.close()
    symbols = {name: symbol.get("options", []) for name, symbol in answer["symbols"].items()}
    return Opinion(symbols)
