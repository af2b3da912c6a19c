"""The evidence of a message: all that its judgement may depend on, and so the key of the cache.

A cache lies when a decision depends on something that its key lacks. So a judgement never sees
the message itself, but one that is made of the evidence, in which nothing else is left to see.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from alignd.config.settings import Configuration
from alignd.judgement.author import declared_charset
from alignd.judgement.reply_to import reply_evidence
from alignd.judgement.rewrite import TOUCHED_FIELDS
from alignd.mail.ip_address import parse_ip_address
from alignd.mail.mailbox import envelope_address
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.authentication_results import (
    DKIM_SIGNATURE,
    UPSTREAM_FIELDS,
    reduced_upstream,
)
from alignd.mailauth.dkim_signature import FIELDS_OF_HOPS
from alignd.return_path.recipient import recipient_domain


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of each message is worth collecting."""

    whole_message: bool
    """The body, and every header field: signatures on the message are verified."""
    fields: frozenset[str]
    """The header fields otherwise, in lower case."""
    judged: frozenset[str]
    """Those of them whose values a judgement depends on; of the others, that they are there."""
    reduced: frozenset[str]
    """Those of them of which less than the value is judged, in the judged fields' place."""
    line_length: bool
    """How long the lines are, of every header field and the body: a signature may count."""
    max_header: int
    """Octets of header fields that are kept."""
    max_edits: int
    """Changes of the header with which a message is not refused."""
    max_body: int
    """Octets of a body that is kept at all."""
    return_domains: frozenset[str]
    """Those in which a recipient may be a return address."""
    helo: bool = False
    """What the client says in HELO or EHLO."""
    answers_recipients: bool = False
    """Whether each recipient is answered, so that one may be refused."""


def wanted_by(configuration: Configuration) -> Wanted:
    """What a judgement under *configuration* looks at, within the limits of [milter]."""
    dkim, milter = configuration.dkim, configuration.milter
    matched = {name.lower() for name in configuration.helpdesk.headers.names}
    matched |= configuration.tenant.field_names
    counts_signatures = bool(
        dkim.verify or dkim.trusted_authserv_ids or dkim.signs or dkim.opendkim
    )
    read: frozenset[str] = frozenset()
    if dkim.trusted_authserv_ids:
        read = UPSTREAM_FIELDS
    elif counts_signatures:
        read = frozenset({DKIM_SIGNATURE})  # a malformed one hides the others
    judged = frozenset({"from"} | matched | read)
    return Wanted(
        whole_message=dkim.verify,
        fields=TOUCHED_FIELDS
        | judged
        | {"content-type"}
        | (FIELDS_OF_HOPS if dkim.trusted_authserv_ids else frozenset()),
        judged=judged,
        reduced=read if read.isdisjoint(matched) and not dkim.verify else frozenset(),
        line_length=counts_signatures,
        max_header=milter.max_header_bytes,
        max_edits=milter.max_edits,
        max_body=milter.max_body_bytes,
        return_domains=configuration.return_domains,
    )


class Evidence(NamedTuple):
    """All of a message that its judgement and edits depend on, but for DNS and the settings.

    It stays as the MTA wrote it: most messages are like others, and need no parsing.
    """

    fields: tuple[tuple[str, bytes | bool], ...]
    """Names in lower case, with the values of judged fields, and of others that they are there.

    Of a Reply-To it is kept whether it names anybody; of two, which become one, their values. Of
    Content-Type the charset is kept, where From is not ASCII."""
    envelope_sender: bytes
    """In its angle brackets."""
    client: str | None
    logged_in: bool
    recipient_domains: tuple[bytes, ...]
    """Those that may be the author domain; of a return address, that of the author it names."""
    has_long_line: bool = False
    """This and the next are False too where no signature counts."""
    has_broken_line: bool = False

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
            has_long_line=self.has_long_line,
            has_broken_line=self.has_broken_line,
        )


def reduced_evidence(
    evidence: Evidence, wanted: Wanted, trusted_authserv_ids: tuple[str, ...], now: float
) -> Evidence:
    """Reduce what *evidence* has of signatures and of what was said about them upstream.

    No two signatures are the same, but most messages of an author are judged alike.
    """
    names = {name for name, _ in evidence.fields}
    if wanted.reduced.isdisjoint(names):
        dropped = FIELDS_OF_HOPS if wanted.reduced >= UPSTREAM_FIELDS else frozenset[str]()
        reduced: tuple[tuple[str, bytes], ...] = ()
    else:
        dropped = FIELDS_OF_HOPS | wanted.reduced
        header = tuple(HeaderField(name, _value(value)) for name, value in evidence.fields)
        message = Message("", (), header)
        reduced = reduced_upstream(message, trusted_authserv_ids, now)
    dropped -= (TOUCHED_FIELDS | wanted.judged) - wanted.reduced
    kept = (each for each in evidence.fields if each[0] not in dropped)
    return evidence._replace(fields=(*kept, *reduced))


def evidence_of(  # noqa: PLR0913  all that evidence is made of
    header: Iterable[tuple[str, bytes, bytes]],
    envelope_sender: bytes,
    client: str | None,
    login: str,
    recipients: Iterable[bytes],
    judged_fields: frozenset[str],
    return_domains: frozenset[str],
    *,
    has_long_line: bool = False,
    has_broken_line: bool = False,
) -> Evidence:
    """Reduce a message to its evidence; *header* has a name, a value and a blank for each field.

    As good as nothing is parsed here: of a known author's message, this is all that is looked at.
    """
    fields: list[tuple[str, bytes | bool]] = []
    judged: list[bytes] = []
    replies: list[bytes] = []
    types: list[bytes] = []
    for name, value, _ in header:
        lower = name.lower()
        if lower in judged_fields:
            fields.append((lower, value))
            judged.append(value)
        elif lower == "reply-to":
            replies.append(value)
        elif lower == "content-type":
            types.append(value)
        else:
            fields.append((lower, False))
    fields.extend(("reply-to", each) for each in reply_evidence(replies))
    text = b"\n".join(judged)
    if types and not text.isascii():
        fields.append(("content-type", b"charset=%s" % declared_charset(types[0])))
    return Evidence(
        tuple(fields),
        envelope_sender,
        client,
        bool(login),
        _domains_in(text, recipients, return_domains),
        has_long_line,
        has_broken_line,
    )


def address_in(argument: bytes) -> str:
    """The address in an argument of MAIL or RCPT, as the MTA writes it."""
    return envelope_address(argument.decode(errors="replace"))


def _domains_in(
    text: bytes, recipients: Iterable[bytes], return_domains: frozenset[str]
) -> tuple[bytes, ...]:
    """The domains of *recipients* that *text*, the judged fields, names: one may be the author's.

    Any of them may be, where letters beyond ASCII are in the way.
    """
    text, anything = text.lower(), not text.isascii()
    found = set()
    for argument in recipients:
        if return_domains:
            domain = recipient_domain(address_in(argument), return_domains).encode()
        else:
            domain = argument.rpartition(b"@")[2].strip(b"<>.").lower()
        if anything or domain in text or not domain.isascii():
            found.add(domain)
    return tuple(sorted(found))


def _value(value: bytes | bool) -> bytes:
    """A value of which no more is known than whether it names anybody."""
    if isinstance(value, bool):
        return b"somebody@there.invalid" if value else b""
    return value
