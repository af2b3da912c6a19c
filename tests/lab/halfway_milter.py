"""A milter that dies between two edits, which the real one does at no call."""

import socketserver
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.protocol import strings
from tests.lab.unix_server import run_unix_server

_VERSION, _CHANGE_HEADERS, _NO_STEPS = 6, 0x10, 0
_UNANSWERED = (b"D", b"A")  # macros, abort
_NEGOTIATE, _END, _CONTINUE, _CHANGE = b"O", b"E", b"c", b"m"


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while len(size := self.rfile.read(4)) == 4:
            letter = self.rfile.read(*struct.unpack("!I", size))[:1]
            if letter == _NEGOTIATE:
                self._say(_NEGOTIATE, struct.pack("!III", _VERSION, _CHANGE_HEADERS, _NO_STEPS))
            elif letter == _END:
                first = struct.pack("!I", 1)
                self._say(_CHANGE, first + strings("From", "helpdesk@half.example"))
                return  # the second edit and the answer never come
            elif letter not in _UNANSWERED:
                self._say(_CONTINUE)

    def _say(self, letter: bytes, payload: bytes = b"") -> None:
        self.wfile.write(struct.pack("!I", len(payload) + 1) + letter + payload)


@contextmanager
def run_halfway_milter(directory: Path) -> Iterator[str]:
    """Run it, and give its socket in Postfix's words."""
    path = directory / "halfway.sock"
    with run_unix_server(path, _Session):
        yield f"unix:{path}"
