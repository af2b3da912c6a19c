"""Reads Reply-To: whether it names anybody, and whom."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alignd.mail import careless, charset
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField

MAX_REPLY_TOS = 16
"""Fields that are made one; no mail has more, and each deletion costs the MTA."""

_MAX_OCTETS = 2048  # of a value that is parsed

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


def reply_evidence(values: Sequence[bytes]) -> Sequence[bytes | bool]:
    """What must be known of the *values* of all Reply-To fields: of one, if it names anybody."""
    if len(values) == 1:
        return [names_somebody(values[0])]
    return values if len(values) <= MAX_REPLY_TOS else [b"@" in value for value in values]


def mailboxes_of(fields: Sequence[HeaderField]) -> tuple[Mailbox, ...]:
    """The mailboxes that *fields*, all Reply-To of a message, name; each address once."""
    found: dict[str, Mailbox] = {}
    for field in fields:
        for mailbox in _mailboxes_in(field.unfolded[:_MAX_OCTETS]):
            found.setdefault(mailbox.address, mailbox)
    return tuple(found.values())


def _mailboxes_in(value: bytes) -> tuple[Mailbox, ...]:
    return careless.mailboxes_named(charset.with_octets(value))
