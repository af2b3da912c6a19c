"""An SMTP client that hands over messages as a helpdesk does, byte for byte."""

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

_HELO = "helpdesk.example"
_TIMEOUT = 60.0  # seconds for one answer
_TAKEN, _GO, _GREETING = 250, 354, 220
_LOOPBACK = "127.0.0.1"
_DOTTED = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SubmissionReply:
    """What the server said last: to the final dot, or to the command that it refused."""

    code: int
    text: str

    @property
    def is_taken(self) -> bool:
        """Whether the server answers for the message now."""
        return self.code == _TAKEN

    @property
    def queue_id(self) -> str:
        """The name that Postfix gave the message."""
        found = re.search(r"queued as (\w+)", self.text)
        if found is None:
            raise ValueError(f"not queued: {self.code} {self.text}")
        return found[1]


class SmtpClient:
    """One SMTP session, which pipelines the commands of a message (RFC 2920)."""

    def __init__(
        self, port: int, *, server: str = _LOOPBACK, source: str = "", helo: str = _HELO
    ) -> None:
        own = (source, 0) if source else None
        self._socket = socket.create_connection((server, port), _TIMEOUT, own)
        self._answers = self._socket.makefile("rb")
        self._helo = helo
        self._answer()
        self._greet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._say("QUIT")
        self._answers.close()
        self._socket.close()

    def impersonate(self, client: str, login: str | None) -> None:
        """Have the server take this session for one of *client*, logged in as *login*."""
        prefix = "IPV6:" if ip_address(client).version == 6 else ""
        attributes = f"ADDR={prefix}{client}" + (f" LOGIN={login}" if login else "")
        self._say(f"XCLIENT {attributes}")
        if (answer := self._answer()).code != _GREETING:
            raise RuntimeError(f"XCLIENT {attributes} was refused: {answer}")
        self._greet()

    def ask(self, command: str) -> SubmissionReply:
        """Say one command, and wait for what the server says to it."""
        self.begin(command)
        return self.answer()

    def begin(self, command: str) -> None:
        """Say one command."""
        self._say(command)

    def answer(self) -> SubmissionReply:
        """Wait for the next that the server says."""
        return self._answer()

    def deliver(self, message: bytes) -> SubmissionReply:
        """Hand over the message of an envelope that is open."""
        if (answer := self.ask("DATA")).code != _GO:
            return answer
        self._socket.sendall(_stuffed(message))
        return self._answer()

    def send(
        self, envelope_sender: str, recipients: Sequence[str], message: bytes
    ) -> SubmissionReply:
        """Hand over one message; one that is not taken ends what the session is good for."""
        parameters = _parameters(envelope_sender, recipients, message)
        commands = [f"MAIL FROM:<{envelope_sender}>{parameters}"]
        commands += [f"RCPT TO:<{recipient}>" for recipient in recipients]
        self._say(*commands, "DATA")
        for expected in (*[_TAKEN] * len(commands), _GO):
            if (answer := self._answer()).code != expected:
                return answer
        self._socket.sendall(_stuffed(message))
        return self._answer()

    def _greet(self) -> None:
        self._say(f"EHLO {self._helo}")
        self._answer()

    def _say(self, *commands: str) -> None:
        lines = "".join(f"{command}\r\n" for command in commands)
        self._socket.sendall(lines.encode("utf-8", "surrogateescape"))

    def _answer(self) -> SubmissionReply:
        lines = []
        while True:
            line = self._answers.readline()
            if not line:
                raise ConnectionResetError("the relay has hung up")
            lines.append(line[4:].decode(errors="replace").rstrip("\r\n"))
            if line[3:4] != b"-":
                return SubmissionReply(int(line[:3]), "\n".join(lines))


def submit(
    port: int,
    envelope_sender: str,
    recipients: Sequence[str],
    message: bytes,
    *,
    client: str = _LOOPBACK,
    login: str | None = None,
    helo: str = _HELO,
) -> SubmissionReply:
    """Send one message to 127.0.0.1, in the name of another client and login by XCLIENT."""
    with SmtpClient(port, helo=helo) as session:
        if client != _LOOPBACK or login is not None:
            session.impersonate(client, login)
        return session.send(envelope_sender, recipients, message)


def _parameters(envelope_sender: str, recipients: Sequence[str], message: bytes) -> str:
    parameters = "" if message.isascii() else " BODY=8BITMIME"
    if not "".join([envelope_sender, *recipients]).isascii():
        parameters += " SMTPUTF8"
    return parameters


def _stuffed(message: bytes) -> bytes:
    """Double the dots that begin a line, and end the message."""
    end = b".\r\n" if message.endswith(b"\r\n") or not message else b"\r\n.\r\n"
    return _DOTTED.sub(b"..", message) + end
