"""Reads Reply-To: whether it names anybody, and whom."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alignd.mail import careless, charset
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField

_MAX_OCTETS, _MAX_FIELDS = 2048, 16  # of what is parsed

# Nearly all of them, for which there is no need to parse.
_LABEL = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ORDINARY = re.compile(
    rb"""[^()"\\,:;<>@]*<?[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@"""
    + rb"%s(?:\.%s)+>?[ \t]*" % (_LABEL, _LABEL)
)


def names_somebody(value: bytes) -> bool:
    """Whether an answer has an address to go to in *value*, a Reply-To."""
    if len(value) > _MAX_OCTETS:
        return b"@" in value
    if b"@" not in value:
        return False
    return _ORDINARY.fullmatch(value) is not None or bool(_mailboxes_in(value))


def mailboxes_of(fields: Sequence[HeaderField]) -> tuple[Mailbox, ...]:
    """The mailboxes that *fields*, all Reply-To of a message, name; each address once."""
    found: dict[str, Mailbox] = {}
    for field in fields[:_MAX_FIELDS]:
        for mailbox in _mailboxes_in(field.unfolded[:_MAX_OCTETS]):
            found.setdefault(mailbox.address, mailbox)
    return tuple(found.values())


def _mailboxes_in(value: bytes) -> tuple[Mailbox, ...]:
    return careless.mailboxes_named(charset.with_octets(value))
