"""The acts of the way back: what Julia answers to From, what others forge, and what bounces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path

from demo.journey import Mail, find, send
from demo.outcome import Act, Check, Comparison, Outcome
from demo.servers import (
    FORGER_IPV4,
    GONE,
    PORT_SIGNED,
    PORT_UNSIGNED,
    PORT_WITH_ALIGND,
    Servers,
)
from tests.lab import cast
from tests.lab.submission import SmtpClient

_MARKY_WRITES = Path(__file__).with_name("marky.eml")
_JULIA_WRITES = Path(__file__).with_name("julia.eml")
_REFUSED = 550
_MARKYS = "Marky's server"
_PASSES = f"{cast.COMPANY_MX}; dmarc=pass"
_DSN = re.compile(r": (\w+): sender non-delivery notification: (\w+)")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Julia wrote, to whom, and what Marky got."""

    sent: Mail
    recipient: str
    received: Mail
    log: tuple[str, ...]


def julia_signed(servers: Servers) -> Outcome:
    """Have Julia answer to the From address, from a company that signs its mail."""
    answer = _answer(servers, PORT_SIGNED)
    kept = Check(
        "it is from Julia as she wrote it",
        answer.received.field("From") == answer.sent.field("From"),
    )
    return _outcome(answer, (kept,))


def julia_unsigned(servers: Servers) -> Outcome:
    """Have Julia answer from a company that does not sign: SPF ends at the relay."""
    answer = _answer(servers, PORT_UNSIGNED)
    author, reply_to = answer.received.field("From"), answer.received.field("Reply-To")
    checks = (
        Check("From names Julia", author.startswith("Julia ") or '"Julia ' in author),
        Check("and is the helpdesk's", f"<{cast.NOTIFICATIONS}>" in author),
        Check("answers go to Julia", parseaddr(reply_to)[1] == cast.JULIA),
    )
    return _outcome(answer, checks)


def forged(servers: Servers) -> Outcome:
    """Have a stranger write to Marky's address in Julia's name."""
    address = _return_address(servers)
    message = _JULIA_WRITES.read_bytes().replace(b"\n", b"\r\n")
    with SmtpClient(
        25, server=cast.RETURN_IPV4, source=FORGER_IPV4, helo="forger.example"
    ) as stranger:
        reply = stranger.send("forger@forger.example", [address], message)
    with SmtpClient(
        25, server=cast.RETURN_IPV4, source=FORGER_IPV4, helo="forger.example"
    ) as guesser:
        guess = guesser.send(cast.JULIA, [_changed(address)], message)
    checks = (
        Check("the forgery is refused for good", reply.code == _REFUSED),
        Check("it is refused for DMARC", "DMARC" in reply.text),
        Check("an address that is guessed does not exist", guess.code == _REFUSED),
    )
    return Outcome(
        "The relay",
        f"{reply.code} {reply.text}",
        (),
        (Comparison("From", f"Julia <{cast.JULIA}>", None), Comparison("RCPT TO", address, None)),
        checks,
        servers.back.log_lines(address),
    )


def bounced(servers: Servers) -> Outcome:
    """Have Marky write to a mailbox that is gone."""
    journey = send(servers, _MARKY_WRITES, cast.MARKY, PORT_WITH_ALIGND, to=GONE)
    notice = servers.relay.wait_for_line(_DSN, journey.queue_id)
    handed_over = servers.relay.wait_for_delivery(notice)
    received = _delivered(servers, handed_over.next_queue_id or "")
    checks = (
        Check("Julia's server refuses the message", journey.status == "bounced"),
        Check("Marky has the bounce", received != Mail(b"")),
        *_arrival(received),
        Check("it has no envelope sender", received.field("Return-Path") == "<>"),
        Check("it says which mailbox is gone", GONE.encode() in received.content),
    )
    comparisons = (
        Comparison("RCPT TO", GONE, GONE),
        Comparison("bounces to", cast.MARKY, received.field("X-Original-To")),
        Comparison("From", f"MAILER-DAEMON@{cast.RELAY}", received.field("From")),
    )
    return Outcome(
        "Julia's server", journey.answer, _verdicts(received), comparisons, checks, journey.log
    )


RETURN_PLAY = (
    Act(
        "Julia answers to the From address, from a company that signs",
        "Her mail program knows nothing of Reply-To: she writes to the address that she sees.",
        "Marky has her answer, in her own name",
        julia_signed,
    ),
    Act(
        "Julia answers to the From address, from a company that does not sign",
        "customer.example still asks to reject what it did not authorise, and its SPF record "
        "does not know the relay.",
        "Marky has her answer from the helpdesk; Reply-To leads to Julia",
        julia_unsigned,
    ),
    Act(
        "A stranger writes to Marky in Julia's name",
        "The address is known to everybody who ever had mail from Marky.",
        "refused: nothing that is forged is ever sent on",
        forged,
    ),
    Act(
        "Marky writes to a mailbox that is gone",
        "Until now the bounce went to an address that nobody reads.",
        "Marky has the bounce",
        bounced,
    ),
)


def _answer(servers: Servers, port: int) -> _Answer:
    """Send Julia's answer to Marky's return address, through that port of her own server."""
    address = _return_address(servers)
    sent = Mail(_JULIA_WRITES.read_bytes())
    message = sent.content.replace(b"\n", b"\r\n")
    with SmtpClient(
        port, server=cast.RECEIVER_IPV4, source=cast.RECEIVER_IPV4, helo="laptop.customer.example"
    ) as client:
        queue_id = client.send(cast.JULIA, [address], message).queue_id
    handed_over = servers.julias.postfix.wait_for_delivery(queue_id)
    received = _delivered(servers, handed_over.next_queue_id or "")
    return _Answer(sent, address, received, servers.julias.postfix.log_lines(queue_id))


def _return_address(servers: Servers) -> str:
    """The address that Julia sees in Marky's mail."""
    journey = send(servers, _MARKY_WRITES, cast.MARKY, PORT_WITH_ALIGND)
    received = journey.received or Mail(b"")
    return parseaddr(received.field("From"))[1]


def _delivered(servers: Servers, queue_id: str) -> Mail:
    """Follow what the relay for the way back has taken as *queue_id* to Marky's mailbox."""
    delivery = servers.back.wait_for_delivery(queue_id)
    next_queue_id = delivery.next_queue_id
    if next_queue_id is None:
        return Mail(b"")
    servers.markys.postfix.wait_for_delivery(next_queue_id)
    return find(servers.markys.inbox, next_queue_id)


def _outcome(answer: _Answer, checks: tuple[Check, ...]) -> Outcome:
    received = answer.received
    comparisons = (
        Comparison("RCPT TO", answer.recipient, received.field("X-Original-To")),
        Comparison("From", answer.sent.field("From"), received.field("From")),
        Comparison("MAIL FROM", f"<{cast.JULIA}>", received.field("Return-Path")),
    )
    body = Check("the body is the same, byte for byte", received.body() == answer.sent.body())
    return Outcome(
        _MARKYS,
        "took it" if received.content else "has not got it",
        _verdicts(received),
        comparisons,
        (*_arrival(received), *checks, body),
        answer.log,
    )


def _arrival(received: Mail) -> tuple[Check, ...]:
    passes = any(text.startswith(_PASSES) for text in _verdicts(received))
    return (Check("Marky's server says dmarc=pass", passes),)


def _verdicts(received: Mail) -> tuple[str, ...]:
    fields = received.fields("Authentication-Results")
    return tuple(text for text in fields if text.startswith(f"{cast.COMPANY_MX};"))


def _changed(address: str) -> str:
    local_part, _, domain = address.rpartition("@")
    return f"{local_part[:-1]}{'b' if local_part.endswith('a') else 'a'}@{domain}"
