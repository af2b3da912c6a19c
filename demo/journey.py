"""Sends a message from the helpdesk through the relay and finds out what became of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from demo.servers import Servers
from tests.lab import cast
from tests.lab.readiness import wait_until
from tests.lab.submission import SmtpClient

_DELIVERY = 30  # seconds


class RefusedError(Exception):
    """The relay did not take a message; the text has its reply."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as it lies in a mailbox: header fields by their names, and bytes to compare."""

    content: bytes

    def fields(self, name: str) -> tuple[str, ...]:
        """Return the values of all fields of that name, unfolded, from the top."""
        pattern = rb"(?im)^%s[ \t]*:((?:.*\n)(?:[ \t].*\n)*)" % re.escape(name.encode())
        values = re.findall(pattern, self._header())
        return tuple(" ".join(value.decode(errors="replace").split()) for value in values)

    def field(self, name: str) -> str:
        """Return the topmost field of that name, empty if there is none."""
        return next(iter(self.fields(name)), "")

    def below_received(self) -> bytes:
        """Return what stands below the traces that mail servers leave at the top."""
        traces = re.finditer(rb"(?im)^Received:.*\n(?:[ \t].*\n)*", self._header())
        end = max((trace.end() for trace in traces), default=0)
        return self.content[end:]

    def body(self) -> bytes:
        """Return everything behind the empty line that ends the header."""
        return self.content[len(self._header()) + 1 :]

    def _header(self) -> bytes:
        return self.content.partition(b"\n\n")[0] + b"\n"


@dataclass(frozen=True, slots=True)
class Journey:
    """A message that was sent, what Julia's server answered, and what Julia got, if anything."""

    sender: str
    sent: Mail
    queue_id: str
    status: str
    answer: str
    received: Mail | None
    log: tuple[str, ...]


def send(
    servers: Servers, message: Path, sender: str, port: int, *, to: str = cast.JULIA
) -> Journey:
    """Send *message* to Julia through that port of the relay and follow it to the end."""
    sent = Mail(message.read_bytes())
    queue_id = _submit(sent, sender, port, to)
    delivery = servers.relay.wait_for_delivery(queue_id)
    log = servers.relay.log_lines(queue_id)
    received = None
    if next_queue_id := delivery.next_queue_id:
        servers.julias.postfix.wait_for_delivery(next_queue_id)
        log += servers.julias.postfix.log_lines(next_queue_id)
        received = find(servers.julias.inbox, next_queue_id)
    return Journey(sender, sent, queue_id, delivery.status, delivery.answer, received, log)


def _submit(mail: Mail, sender: str, port: int, to: str) -> str:
    """Hand the message to the relay, as the helpdesk does, and return its queue id there."""
    message = mail.content.replace(b"\n", b"\r\n")
    with SmtpClient(
        port, server=cast.RELAY_IPV4, source=cast.HELPDESK_IPV4, helo=cast.HELPDESK
    ) as relay:
        reply = relay.send(sender, [to], message)
    if not reply.is_taken:
        raise RefusedError(f"the relay did not take the message: {reply.code} {reply.text}")
    return reply.queue_id


def find(inbox: Path, queue_id: str) -> Mail:
    """Return the message that the server of that mailbox knew by that queue id."""
    trace = rf"\bid {queue_id}\b"

    def look() -> Mail | None:
        mails = (Mail(path.read_bytes()) for path in inbox.glob("new/*"))
        found = (mail for mail in mails if re.search(trace, mail.field("Received")))
        return next(found, None)

    return wait_until(look, f"message {queue_id} in {inbox}", _DELIVERY)
