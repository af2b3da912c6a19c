"""Responsible for the far end of the mail path: an SMTP server that keeps what it receives."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.lab.readiness import free_ports


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came over the wire, without the dots that SMTP adds."""

    envelope_sender: str
    recipients: tuple[str, ...]
    message: bytes

    def came_as(self, queue_id: str) -> bool:
        """Whether the relay knew this message by *queue_id*."""
        return re.search(rb"\bid %s\b" % re.escape(queue_id.encode()), self.message) is not None


class Sink:
    """What has arrived at *port* of 127.0.0.1, where everything is accepted."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.deliveries: list[Delivery] = []
        self._arrival = threading.Condition()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message; aiosmtpd calls this after the final dot."""
        content = envelope.original_content or b""
        sender = (envelope.mail_from or "").removeprefix("<>")  # as aiosmtpd has the null one
        delivery = Delivery(sender, tuple(envelope.rcpt_tos), content)
        with self._arrival:
            self.deliveries.append(delivery)
            self._arrival.notify_all()
        return "250 2.0.0 kept"

    def wait_for(self, wanted: Callable[[Delivery], bool], timeout: float = 15) -> Delivery:
        """Return the first delivery that is *wanted*, or raise TimeoutError."""
        with self._arrival:
            found = self._arrival.wait_for(
                lambda: next(filter(wanted, self.deliveries), None), timeout
            )
        if found is None:
            raise TimeoutError(
                f"nothing of that kind in {timeout:g} s, only {len(self.deliveries)} others"
            )
        return found


@contextmanager
def run_sink() -> Iterator[Sink]:
    """Run an SMTP server that takes every message, SMTPUTF8 and 8BITMIME included."""
    (port,) = free_ports(1)
    sink = Sink(port)
    server = _Server(sink, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield sink
    finally:
        server.stop()


class _UnlimitedSMTP(SMTP):
    line_length_limit = 2**26  # the relay under test sends lines as long as it got them


class _Server(Controller):
    def factory(self) -> SMTP:
        return _UnlimitedSMTP(self.handler, data_size_limit=None, enable_SMTPUTF8=True)
