"""The MTA's side of the milter protocol, version 6 as Postfix 3.7 speaks it."""

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from tests.lab.message import ChangeSender, Modification, edited, split
from tests.lab.protocol import MODIFICATIONS, Command, Reply, macro_names, strings

ALL_ACTIONS = 0x1FF
CHANGE_HEADERS = 0x10  # the action without which a milter may add fields only
CHANGE_SENDER = 0x40
ALL_PROTOCOL = 0x1FFFFF
NO_REPLIES = 0xFF080  # the steps after which a milter may leave the MTA without an answer

NO_BODY = 0x10  # the step of a milter that does not want the body

_VERSION = 6
_LEADING_BLANK = 0x100000  # values go both ways as they stand behind the colon
_CHUNK = 65535
_TIMEOUT = 30

Macros = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a milter said to one command."""

    reply: Reply
    text: str = ""
    modifications: tuple[Modification, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message."""

    answer: Answer
    message: bytes
    envelope_sender: str

    @property
    def accepted(self) -> bool:
        """Whether the message goes on its way."""
        return self.answer.reply in (Reply.CONTINUE, Reply.ACCEPT)


class MilterConnection:
    """The connection of one SMTP session to a milter, for any number of messages."""

    def __init__(
        self,
        spec: str,
        *,
        client: str = "127.0.0.1",
        helo: str = "helpdesk.example",
        actions: int = ALL_ACTIONS,
        protocol: int = ALL_PROTOCOL,
    ) -> None:
        self._spec = spec
        self._client = client
        self._helo = helo
        self._offered_actions = actions
        self._offered_protocol = protocol
        self._protocol = 0
        self._macro_names: Mapping[int, list[str]] = {}
        self._to_session = Answer(Reply.CONTINUE)

    def __enter__(self) -> Self:
        self.connect()
        try:
            self.negotiate()
            self.greet()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Open the connection and say nothing yet."""
        self._socket = _connected(self._spec)
        self._stream = self._socket.makefile("rb")

    def close(self) -> None:
        """Hang up without a word, as an MTA that was killed does."""
        self._stream.close()
        self._socket.close()

    def is_cut(self) -> bool:
        """Whether the milter has hung up, as far as can be seen without waiting."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    @property
    def steps(self) -> int:
        """The steps of the protocol that the milter has chosen, SMFIP_*."""
        return self._protocol

    def write(self, data: bytes) -> None:
        """Send bytes, packets or not."""
        self._socket.sendall(data)

    def packet(self, letter: bytes, payload: bytes = b"") -> None:
        """Send one packet, however wrong."""
        self.write(_packet(letter, payload))

    def receive(self) -> tuple[bytes, bytes]:
        """Return letter and payload of the next packet, or raise ConnectionError at the end."""
        (size,) = struct.unpack("!I", self._exactly(4))
        data = self._exactly(size)
        return data[:1], data[1:]

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise ConnectionResetError("the milter has hung up")
        return data

    def negotiate(self) -> None:
        """Offer everything, and keep to what the milter wants to hear and to answer."""
        self.packet(
            b"O", struct.pack("!III", _VERSION, self._offered_actions, self._offered_protocol)
        )
        letter, payload = self.receive()
        if letter != b"O":
            raise ConnectionError(f"the milter answered the negotiation with {letter!r}")
        _version, _actions, self._protocol = struct.unpack("!III", payload[:12])
        self._macro_names = macro_names(payload[12:])

    def greet(self) -> None:
        """Introduce the SMTP client."""
        family = str(ip_address(self._client).version).encode()
        peer = strings(f"[{self._client}]") + family + struct.pack("!H", 54321)
        macros = {
            "j": "smtp2.easyredmine.com",
            "{daemon_name}": "smtp2.easyredmine.com",
            "{daemon_addr}": "127.0.0.1",
            "v": "Postfix 3.7.11",
            "_": f"unknown [{self._client}]",
        }
        self._to_session = self.tell(Command.CONNECT, peer + strings(self._client), macros)
        if self._to_session.reply is Reply.CONTINUE:
            self._to_session = self.tell(Command.HELO, strings(self._helo), {})

    def send(
        self,
        envelope_sender: str,
        recipients: Sequence[str],
        message: bytes,
        *,
        login: str | None = None,
        queue_id: str = "4bQx2K1",
    ) -> Result:
        """Take one message through the milter and do to it what the milter asks."""
        said, answer = Command.HELO, self._to_session
        leading_blank = bool(self._protocol & _LEADING_BLANK)
        for command, payload, macros in steps(
            envelope_sender,
            recipients,
            message,
            login=login,
            queue_id=queue_id,
            leading_blank=leading_blank,
        ):
            if answer.reply is Reply.SKIP and command is said:
                continue
            if answer.reply not in (Reply.CONTINUE, Reply.SKIP):
                break
            said, answer = command, self.tell(command, payload, macros)
        self.packet(b"A")  # Postfix ends every message so, whatever became of it
        senders = [m.address for m in answer.modifications if isinstance(m, ChangeSender)]
        return Result(
            answer,
            edited(message, answer.modifications, b"" if leading_blank else b" "),
            [envelope_sender, *senders][-1],
        )

    def tell(self, command: Command, payload: bytes = b"", macros: Macros | None = None) -> Answer:
        """Say one thing in the way that was negotiated, and return the answer to it."""
        said = self._packets(command, payload, macros or {})
        self.write(said)
        if self._protocol & (command.skip | command.no_reply):
            return Answer(Reply.CONTINUE)
        return self.answer()

    def tell_at_once(self, said: "Iterable[Step]") -> Answer:
        """Say a whole message in one write, to a milter that answers nothing but its end."""
        self.write(b"".join(self._packets(*step) for step in said))
        return self.answer()

    def _packets(self, command: Command, payload: bytes, macros: Macros) -> bytes:
        names = self._macro_names.get(command.macro_list) or macros
        sent = [text for name in names if name in macros for text in (name, macros[name])]
        # Postfix sends the macros even of a command that the milter does not want.
        packets = _packet(b"D", command.letter + strings(*sent))
        if not self._protocol & command.skip:
            packets += _packet(command.letter, payload)
        return packets

    def answer(self) -> Answer:
        """Read until the milter has decided."""
        modifications: list[Modification] = []
        while True:
            letter, payload = self.receive()
            if letter in MODIFICATIONS:
                modifications.append(MODIFICATIONS[letter](payload))
            elif letter != b"p":  # progress: the milter asks for patience
                text = payload.rstrip(b"\0").decode(errors="replace")
                return Answer(Reply(letter), text, tuple(modifications))


Step = tuple[Command, bytes, Macros]


def steps(
    envelope_sender: str,
    recipients: Sequence[str],
    message: bytes,
    *,
    login: str | None = None,
    queue_id: str = "4bQx2K1",
    leading_blank: bool = False,
) -> Iterator[Step]:
    """Return all that an MTA says of one message, from MAIL to its end."""
    yield from _envelope(envelope_sender, recipients, login, queue_id)
    yield from _content(message, queue_id, leading_blank=leading_blank)


def _envelope(
    envelope_sender: str, recipients: Sequence[str], login: str | None, queue_id: str
) -> Iterator[Step]:
    transport = {"{mail_host}": "[127.0.0.1]:25", "{mail_mailer}": "smtp"}
    session = {"{auth_type}": "PLAIN", "{auth_authen}": login} if login else {}
    macros = session | {"{mail_addr}": envelope_sender} | transport
    yield Command.MAIL, strings(f"<{envelope_sender}>"), macros
    queued: dict[str, str] = {}
    for recipient in recipients:
        macros = {"{rcpt_addr}": recipient, "{rcpt_host}": "[127.0.0.1]:25"}
        yield Command.RCPT, strings(f"<{recipient}>"), queued | macros | {"{rcpt_mailer}": "smtp"}
        # The message gets its queue id after the milters have seen the first recipient.
        queued = {"i": queue_id}


def _content(message: bytes, queue_id: str, *, leading_blank: bool) -> Iterator[Step]:
    queued = {"i": queue_id}
    fields, rest = split(message)
    yield Command.DATA, b"", queued
    for field in fields:
        # The protocol cannot carry NUL, and Postfix cuts the field there.
        value, _nul, _lost = field.value.partition(b"\0")
        value = field.blank + value if leading_blank else value
        yield Command.HEADER, field.name + b"\0" + value + b"\0", queued
    yield Command.END_OF_HEADER, b"", queued
    body = rest.removeprefix(b"\r\n")
    for start in range(0, len(body), _CHUNK):
        yield Command.BODY, body[start : start + _CHUNK], queued
    yield Command.END_OF_MESSAGE, b"", queued


def _packet(letter: bytes, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload) + 1) + letter + payload


def _connected(spec: str) -> socket.socket:
    """Connect to unix:PATH or to inet:HOST:PORT, as smtpd_milters has it."""
    kind, _colon, place = spec.partition(":")
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_TIMEOUT)
        connection.connect(place)
        return connection
    host, _colon, port = place.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT)
