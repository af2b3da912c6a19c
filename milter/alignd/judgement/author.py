"""Reads the author of a message from its From, as the strictest and the oddest receiver do."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from alignd.judgement.reasons import Reason
from alignd.mail import careless, charset
from alignd.mail.domain import Domain
from alignd.mail.from_field import disagreement
from alignd.mail.mailbox import Mailbox, MailboxError, parse_mailboxes
from alignd.mail.message import HeaderField, Message

MAX_FROM = 2048
"""Octets of a From value that is read as receivers do."""
_MAX_SEARCHED = 16_384  # of one in which an address is looked for

_CHARSET = re.compile(rb"""charset[ \t]*=[ \t]*["']?([^\s"';]{1,40})""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a message."""

    mailbox: Mailbox | None
    """The author, who gets the answers; where From is unreadable, the one address in it."""
    unreadable: Reason | None = None
    """Why receivers may read From differently; None when all read the same mailbox."""
    detail: str = ""
    """For people: what is wrong with From."""
    phrase: str = ""
    """What stands for the author's name where there is no mailbox."""

    @property
    def domain(self) -> Domain | None:
        """The author domain; None when From is unreadable."""
        return self.mailbox.domain if self.mailbox and not self.unreadable else None


def read_author(message: Message) -> Author:
    """Read the author from the From fields of *message*.

    Only one From field with one mailbox is readable (RFC 9989, sections 4.2 and 5.3.1), and only
    as far as all receivers read it alike: of all else nothing can be predicted. Who gets the
    answers is said by From alone: the envelope sender is often a mailbox for bounces.
    """
    fields = message.fields("From")
    if not fields:
        return Author(None, Reason.FROM_MISSING, "there is no From field")
    author = _read_field(fields[0], message)
    if len(fields) > 1:
        detail = f"there are {len(fields)} From fields"
        return replace(author, unreadable=Reason.FROM_SEVERAL_FIELDS, detail=detail)
    return author


def text_of(field: HeaderField, message: Message) -> str:
    """The unfolded value of *field*, where it is not UTF-8 by the charset of *message*."""
    return charset.without_octets(charset.with_octets(field.unfolded), _charset_of(message))


def declared_charset(value: bytes) -> bytes:
    """The charset in a value of Content-Type; empty when it has none."""
    match = _CHARSET.search(value)
    return match[1].lower() if match else b""


def _read_field(field: HeaderField, message: Message) -> Author:
    text = charset.with_octets(field.unfolded)
    if len(field.value) > MAX_FROM:
        detail = f"From has {len(field.value)} octets, more than {MAX_FROM}"
        return _read_carelessly(text, message, Reason.FROM_TOO_LONG, detail)
    try:
        mailboxes = parse_mailboxes(text, careless=True)
    except MailboxError as error:
        return _read_carelessly(text, message, Reason.FROM_MALFORMED, str(error))
    name = charset.without_octets(mailboxes[0].display_name, _charset_of(message))
    author = Author(replace(mailboxes[0], display_name=name))
    if len(mailboxes) > 1:
        detail = f"From has {len(mailboxes)} mailboxes"
        return replace(author, unreadable=Reason.FROM_SEVERAL_MAILBOXES, detail=detail)
    if problem := disagreement(text):
        return replace(author, unreadable=Reason.FROM_MALFORMED, detail=problem)
    return author


def _read_carelessly(text: str, message: Message, reason: Reason, detail: str) -> Author:
    mailbox = careless.find_mailbox(text) if len(text) <= _MAX_SEARCHED else None
    phrase = mailbox.display_name if mailbox else careless.phrase_of(text)
    phrase = charset.without_octets(phrase[:MAX_FROM], _charset_of(message))
    mailbox = replace(mailbox, display_name=phrase) if mailbox else None
    return Author(mailbox, reason, detail, "" if mailbox else phrase)


def _charset_of(message: Message) -> str:
    types = message.fields("Content-Type")
    return declared_charset(types[0].value).decode(errors="replace") if types else ""
