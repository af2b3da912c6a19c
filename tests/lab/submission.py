"""Responsible for handing a message to an SMTP server as a helpdesk would, byte for byte."""

import re
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True, slots=True)
class SubmissionReply:
    """What the server said last: to the final dot, or to the command that it refused."""

    code: int
    text: str

    @property
    def queue_id(self) -> str:
        """The name that Postfix gave the message."""
        found = re.search(r"queued as (\w+)", self.text)
        if found is None:
            raise ValueError(f"not queued: {self.code} {self.text}")
        return found[1]


def submit(
    port: int,
    envelope_sender: str,
    recipients: Sequence[str],
    message: bytes,
    *,
    client: str = "127.0.0.1",
    login: str | None = None,
) -> SubmissionReply:
    """Send *message* to 127.0.0.1, in the name of another client and login by XCLIENT."""
    commands = [
        f"MAIL FROM:<{envelope_sender}>{_parameters(envelope_sender, recipients, message)}",
        *(f"RCPT TO:<{recipient}>" for recipient in recipients),
    ]
    with smtplib.SMTP("127.0.0.1", port, local_hostname="helpdesk.example", timeout=60) as smtp:
        smtp.command_encoding = "utf-8"
        smtp.ehlo()
        _pretend(smtp, client, login)
        for command in commands:
            code, text = smtp.docmd(command)
            if code != 250:
                return SubmissionReply(code, text.decode(errors="replace"))
        # smtplib adds the dots of SMTP to bytes and changes nothing else.
        code, text = smtp.data(message)
        return SubmissionReply(code, text.decode(errors="replace"))


def _pretend(smtp: smtplib.SMTP, client: str, login: str | None) -> None:
    """Have the server take this session for one of *client*, logged in as *login*."""
    if client == "127.0.0.1" and login is None:
        return
    prefix = "IPV6:" if ip_address(client).version == 6 else ""
    attributes = f"ADDR={prefix}{client}" + (f" LOGIN={login}" if login else "")
    code, text = smtp.docmd("XCLIENT", attributes)
    if code != 220:
        raise RuntimeError(f"XCLIENT {attributes} was refused: {code} {text!r}")
    smtp.ehlo()


def _parameters(envelope_sender: str, recipients: Sequence[str], message: bytes) -> str:
    parameters = "" if message.isascii() else " BODY=8BITMIME"
    if not "".join([envelope_sender, *recipients]).isascii():
        parameters += " SMTPUTF8"
    return parameters
