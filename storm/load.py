"""Sends the mail of a storm, over several SMTP sessions at once and no faster than it arrives."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from storm.parallel import in_parallel

SESSIONS = 8
_TIMEOUT = 60.0  # seconds for one answer
_MESSAGES_PER_SESSION = 100  # then a client connects anew, as clients do
_DOTTED = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is handed over."""

    envelope_sender: str
    recipients: Sequence[str]
    content: bytes
    parameters: str = ""


class Client:
    """One SMTP session."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
        self._answers = self._socket.makefile("rb")
        self._answer()
        self._say(b"EHLO helpdesk.example\r\n")
        self._answer()

    def send(self, parcel: Parcel) -> bool:
        """Hand over one message; whether it was taken."""
        recipients = [f"RCPT TO:<{recipient}>\r\n" for recipient in parcel.recipients]
        mail = f"MAIL FROM:<{parcel.envelope_sender}>{parcel.parameters}\r\n"
        self._say("".join([mail, *recipients, "DATA\r\n"]).encode())
        # One answer for each command, and all of them have to be read.
        answers = [self._answer() for _ in range(len(recipients) + 2)]
        if answers[-1] != 354:
            self._say(b"RSET\r\n")
            self._answer()
            return False
        self._say(_stuffed(parcel.content))
        return self._answer() == 250

    def close(self) -> None:
        """Say good-bye and hang up."""
        self._say(b"QUIT\r\n")
        self._answers.close()
        self._socket.close()

    def _say(self, text: bytes) -> None:
        self._socket.sendall(text)

    def _answer(self) -> int:
        while True:
            line = self._answers.readline()
            if not line:
                raise ConnectionResetError("the relay has hung up")
            if line[3:4] != b"-":
                return int(line[:3])


def send_all(
    port: int,
    parcels: Iterable[tuple[int, Parcel]],
    report: Callable[[int, bool], None],
    *,
    sessions: int = SESSIONS,
) -> None:
    """Send all *parcels*, numbered, to 127.0.0.1, and *report* of each whether it was taken."""

    def work(shared: Iterator[tuple[int, Parcel]]) -> None:
        for first in shared:
            _send_some(port, chain([first], islice(shared, _MESSAGES_PER_SESSION - 1)), report)

    in_parallel(work, parcels, threads=sessions)


def _send_some(
    port: int, parcels: Iterable[tuple[int, Parcel]], report: Callable[[int, bool], None]
) -> None:
    """Send *parcels* in one session, up to the first that is not taken."""
    client = Client(port)
    for number, parcel in parcels:
        taken = client.send(parcel)
        report(number, taken)
        if not taken:
            break  # Postfix holds the failure of a milter against the rest of the session
    client.close()


def _stuffed(content: bytes) -> bytes:
    """Double the dots that begin a line, and end the message."""
    end = b".\r\n" if content.endswith(b"\r\n") or not content else b"\r\n.\r\n"
    return _DOTTED.sub(b"..", content) + end
