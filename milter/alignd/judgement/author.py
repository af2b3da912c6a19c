"""Reads the author of a message from its From, as strictly as the strictest receiver."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alignd.judgement.reasons import Reason
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox, MailboxError, parse_mailboxes
from alignd.mail.message import HeaderField, Message

MAX_FROM = 2048
"""Octets of a From value that are read at all; a longer one is nobody's name."""

_ANGLE_ADDRESS = re.compile(r"<([^<>\s\"@]{1,64}@[^<>\s\"@]{1,255})>")


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a message."""

    mailbox: Mailbox | None
    """The author, who gets the answers; where From is unreadable, the best guess."""
    unreadable: Reason | None = None
    """Why receivers may read From differently; None when all read the same mailbox."""
    detail: str = ""
    """For people: what is wrong with From."""

    @property
    def domain(self) -> Domain | None:
        """The author domain; None when From is unreadable."""
        return self.mailbox.domain if self.mailbox and not self.unreadable else None


def read_author(message: Message) -> Author:
    """Read the author from the From fields of *message*.

    Only one From field with one mailbox in strict grammar is readable (RFC 9989, sections 4.2
    and 5.3.1): receivers differ in all else, so that nothing can be predicted.
    """
    fields = message.fields("From")
    if not fields:
        return Author(_from_envelope(message), Reason.FROM_MISSING, "there is no From field")
    author = _read_field(fields[0], message)
    if len(fields) > 1:
        detail = f"there are {len(fields)} From fields"
        return Author(author.mailbox, Reason.FROM_SEVERAL_FIELDS, detail)
    return author


def _read_field(field: HeaderField, message: Message) -> Author:
    if len(field.value) > MAX_FROM:
        detail = f"From has {len(field.value)} octets, more than {MAX_FROM}"
        return Author(_from_envelope(message), Reason.FROM_TOO_LONG, detail)
    text = field.unfolded.decode(errors="replace")
    try:
        mailboxes = parse_mailboxes(text)
    except MailboxError as error:
        return Author(_guess(text) or _from_envelope(message), Reason.FROM_MALFORMED, str(error))
    if "\ufffd" in text:
        # Receivers that know UTF-8 only, and those that guess a charset, read two things.
        return Author(mailboxes[0], Reason.FROM_MALFORMED, "From is not UTF-8")
    if len(mailboxes) > 1:
        detail = f"From has {len(mailboxes)} mailboxes"
        return Author(mailboxes[0], Reason.FROM_SEVERAL_MAILBOXES, detail)
    return Author(mailboxes[0])


def _guess(text: str) -> Mailbox | None:
    # Careless but common, and one person to a reader: Novak, Jan <jan@mycompany.com>
    matches = list(_ANGLE_ADDRESS.finditer(text))
    if len(matches) != 1:
        return None
    try:
        mailbox = Mailbox.from_address(matches[0][1])
    except MailboxError:
        return None
    name = text[: matches[0].start()].strip(" \t\"'")
    return Mailbox(mailbox.local_part, mailbox.domain, name)


def _from_envelope(message: Message) -> Mailbox | None:
    try:
        return Mailbox.from_address(message.envelope_sender)
    except MailboxError:
        return None
