"""The evidence of a message: all that its judgement may depend on, and so the key of the cache.

A cache lies when a decision depends on something that its key lacks. So a judgement never sees
the message itself, but one that is made of the evidence, in which nothing else is left to see.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from alignd.config.settings import Configuration
from alignd.judgement.rewrite import TOUCHED_FIELDS
from alignd.mail.ip_address import parse_ip_address
from alignd.mail.mailbox import envelope_address
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.authentication_results import UPSTREAM_FIELDS


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of each message is worth collecting."""

    whole_message: bool
    """The body, and every header field: signatures on the message are verified."""
    fields: frozenset[str]
    """The header fields otherwise, in lower case."""
    judged: frozenset[str]
    """Those of them whose values a judgement depends on; of the others, that they are there."""
    max_header: int
    """Octets of header fields that are kept."""
    max_edits: int
    """Changes of the header with which a message is not refused."""
    max_body: int
    """Octets of a body that is kept at all."""


def wanted_by(configuration: Configuration) -> Wanted:
    """What a judgement under *configuration* looks at, within the limits of [milter]."""
    dkim, milter = configuration.dkim, configuration.milter
    patterns = [configuration.helpdesk.headers, *(each.match for each in configuration.tenant)]
    judged = {name.lower() for pattern in patterns for name in pattern.names} | {"from"}
    if dkim.trusted_authserv_ids:
        judged |= UPSTREAM_FIELDS
    return Wanted(
        whole_message=dkim.verify,
        fields=TOUCHED_FIELDS | judged,
        judged=frozenset(judged),
        max_header=milter.max_header_bytes,
        max_edits=milter.max_edits,
        max_body=milter.max_body_bytes,
    )


class Evidence(NamedTuple):
    """All of a message that its judgement and edits depend on, but for DNS, body and settings.

    It stays as the MTA wrote it: most messages are like others, and need no parsing.
    """

    fields: tuple[tuple[str, bytes | bool], ...]
    """Names in lower case, with the values of judged fields, and of others whether they name
    anybody, which matters for Reply-To."""
    envelope_sender: bytes
    """In its angle brackets."""
    client: str | None
    logged_in: bool
    recipient_domains: tuple[bytes, ...]
    """Those that may be the author domain."""

    def message(self) -> Message:
        """The message as a judgement sees it.

        Raises:
            ValueError: the client address is none; the MTA does not know the protocol.
        """
        return Message(
            envelope_sender=address_in(self.envelope_sender),
            recipients=tuple(
                f"@{each.decode(errors='replace')}" for each in self.recipient_domains
            ),
            header=tuple(HeaderField(name, _value(value)) for name, value in self.fields),
            client=parse_ip_address(self.client) if self.client else None,
            login="(somebody)" if self.logged_in else "",
        )


def evidence_of(
    header: Iterable[tuple[str, bytes, bytes]],
    envelope_sender: bytes,
    client: str | None,
    login: str,
    recipients: Iterable[bytes],
    judged_fields: frozenset[str],
) -> Evidence:
    """Reduce a message to its evidence; *header* has a name, a value and a blank for each field.

    Nothing is parsed here: of a known author's message, this is all that is looked at.
    """
    fields: list[tuple[str, bytes | bool]] = []
    judged = []
    for name, value, _ in header:
        lower = name.lower()
        if lower in judged_fields:
            fields.append((lower, value))
            judged.append(value)
        else:
            fields.append((lower, b"@" in value))
    return Evidence(
        tuple(fields),
        envelope_sender,
        client,
        bool(login),
        _domains_in(b"\n".join(judged), recipients),
    )


def address_in(argument: bytes) -> str:
    """The address in an argument of MAIL or RCPT, as the MTA writes it."""
    return envelope_address(argument.decode(errors="replace"))


def _domains_in(text: bytes, recipients: Iterable[bytes]) -> tuple[bytes, ...]:
    """The domains of *recipients* that *text*, the judged fields, names: one may be the author's.

    Any of them may be, where letters beyond ASCII are in the way.
    """
    text, anything = text.lower(), not text.isascii()
    found = set()
    for argument in recipients:
        domain = argument.rpartition(b"@")[2].strip(b"<>.").lower()
        if anything or domain in text or not domain.isascii():
            found.add(domain)
    return tuple(sorted(found))


def _value(value: bytes | bool) -> bytes:
    """A value of which no more is known than whether it names anybody."""
    if isinstance(value, bool):
        return b"@" if value else b""
    return value
