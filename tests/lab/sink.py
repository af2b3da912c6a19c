"""The far end of the mail path: an SMTP server that takes every message, and is fast."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.readiness import PATIENCE

_GREETING = b"220 sink.example ESMTP\r\n"
_EXTENSIONS = b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE\r\n"
_OK, _GO, _BYE = b"250 2.0.0 ok\r\n", b"354 go\r\n", b"221 2.0.0 bye\r\n"
_ADDRESS = re.compile(rb"<(.*)>")
_END = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came over the wire, without the dots that SMTP adds."""

    envelope_sender: str
    recipients: tuple[str, ...]
    message: bytes

    def came_as(self, queue_id: str) -> bool:
        """Whether the relay knew this message by *queue_id*."""
        name = queue_id.encode()
        # A message without the name is passed over fast, however long it is.
        return name in self.message and bool(re.search(rb"\bid %s\b" % name, self.message))


class Inbox:
    """What has arrived at *port*."""

    def __init__(self) -> None:
        self.port = 0
        self.arrivals: list[Arrival] = []
        self._arrival = threading.Condition()

    def keep(self, arrival: Arrival) -> None:
        """Add a message."""
        with self._arrival:
            self.arrivals.append(arrival)
            self._arrival.notify_all()

    def wait_for(self, wanted: Callable[[Arrival], bool], timeout: float = PATIENCE) -> Arrival:
        """Return the first message that is *wanted*, or raise TimeoutError."""
        with self._arrival:
            found = self._arrival.wait_for(
                lambda: next(filter(wanted, self.arrivals), None), timeout
            )
        if found is None:
            raise TimeoutError(
                f"nothing of that kind in {timeout:g} s, only {len(self.arrivals)} others"
            )
        return found


class _Session(asyncio.Protocol):
    def __init__(self, arrive: Callable[[Arrival], None]) -> None:
        self._arrive = arrive
        self._received = bytearray()
        self._in_data = False
        self._searched = 0
        self._sender = ""
        self._recipients: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._take_content() if self._in_data else self._take_command():
            pass

    def _take_content(self) -> bool:
        at = self._received.find(_END, self._searched)
        if at < 0:
            self._searched = max(0, len(self._received) - len(_END))
            return False
        # The line end of DATA itself stands in front, for a message that is one dot.
        content = bytes(self._received[2 : at + 2]).replace(b"\r\n..", b"\r\n.")
        del self._received[: at + len(_END)]
        self._in_data = False
        message = content.removeprefix(b".")
        self._arrive(Arrival(self._sender, tuple(self._recipients), message))
        self._transport.write(_OK)
        return True

    def _take_command(self) -> bool:
        at = self._received.find(b"\r\n")
        if at < 0:
            return False
        line = bytes(self._received[:at])
        del self._received[: at + 2]
        verb = line[:4].upper()
        if verb == b"DATA":
            self._in_data, self._searched = True, 0
            self._received[:0] = b"\r\n"
        elif verb in (b"MAIL", b"RCPT"):
            self._take_address(verb, line)
        answers = {b"EHLO": _EXTENSIONS, b"DATA": _GO, b"QUIT": _BYE}
        self._transport.write(answers.get(verb, _OK))
        if verb == b"QUIT":
            self._transport.close()
        return True

    def _take_address(self, verb: bytes, line: bytes) -> None:
        found = _ADDRESS.search(line)
        address = found[1].decode(errors="surrogateescape") if found else ""
        if verb == b"MAIL":
            self._sender, self._recipients = address, []
        else:
            self._recipients.append(address)


@contextmanager
def run_sink(
    arrive: Callable[[Arrival], None], *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[int]:
    """Take all mail at a port of *host*, which the block gets, and tell *arrive* of each."""
    loop = asyncio.new_event_loop()
    opened = loop.create_server(lambda: _Session(arrive), host, port, backlog=512)
    server = loop.run_until_complete(opened)
    thread = threading.Thread(target=loop.run_forever, name="sink")
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


@contextmanager
def run_inbox(*, host: str = "127.0.0.1", port: int = 0) -> Iterator[Inbox]:
    """Take all mail at a port of *host*, and keep it."""
    inbox = Inbox()
    with run_sink(inbox.keep, host=host, port=port) as inbox.port:
        yield inbox
