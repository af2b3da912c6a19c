"""Finds addresses in text outside the grammar of mailboxes, as a person does who reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from alignd.mail import encoded_words
from alignd.mail.mailbox import Mailbox, MailboxError, parse_mailboxes

_ANGLE_ADDRESS = re.compile(r"<([^<>\s\"@]{1,254}@[^<>\s\"@]{1,255})>")
_AROUND_AT = re.compile(r"(?<![ \t])[ \t]*@[ \t]*")  # in linear time
_SEPARATOR = re.compile(r"[\s()<>\[\]:;,]+")
_TOP_LEVEL = re.compile(r"[^\W\d_]{2,}|xn--[a-z0-9-]+", re.IGNORECASE)
_DELIMITER = re.compile(r'\\.|["()]')
_MAX_LENGTH = 510  # characters that are worth parsing
_AROUND_NAME = " \t,;:\\\"'"


def find_mailbox(text: str) -> Mailbox | None:
    """Find the one address in *text*, and its name; None when there is none, or not just one.

    An address that stands there and cannot be parsed is another one.
    """
    # Careless but common, and one person to a reader: Novak, Jan <jan@mycompany.com>
    if matches := list(_ANGLE_ADDRESS.finditer(text)):
        name = text[: matches[0].start()].strip(_AROUND_NAME)
        return _only({match[1].rstrip(".") for match in matches}, name)
    # Some programs encode a whole value, its address too.
    for readable in (text, encoded_words.decode(text)):
        for part in _split_quoted(readable):
            if addresses := _addresses(part):
                return _only(addresses, _name_beside_address(readable))
    return None


def mailboxes_named(text: str) -> tuple[Mailbox, ...]:
    """The mailboxes that *text*, a value of Reply-To, names; of a careless one, the addresses."""
    try:
        return parse_mailboxes(text, careless=True)
    except MailboxError:
        outside, _inside = _split_quoted(text)
        found = (_parsed(each, "") for each in _addresses(outside))
        return tuple(mailbox for mailbox in found if mailbox is not None)


def phrase_of(text: str) -> str:
    """What stands for a name in *text*, whatever is wrong with its address."""
    before, bracket, _ = text.partition("<")
    return (before if bracket and before.strip() else text).strip(_AROUND_NAME + "<>")


def _name_beside_address(text: str) -> str:
    words = phrase_of(_AROUND_AT.sub("@", text)).split()
    return " ".join(word for word in words if "@" not in word).strip(_AROUND_NAME)


def _only(addresses: Iterable[str], name: str) -> Mailbox | None:
    address, *others = addresses
    return None if others else _parsed(address, name)


def _parsed(address: str, name: str) -> Mailbox | None:
    if len(address) > _MAX_LENGTH:
        return None
    try:
        mailboxes = parse_mailboxes(address, careless=True)
    except MailboxError:
        return None
    return Mailbox(mailboxes[0].local_part, mailboxes[0].domain, name)


def _addresses(text: str) -> dict[str, None]:
    """What a person takes for addresses in *text*, in its order."""
    words = _SEPARATOR.split(_AROUND_AT.sub("@", text))
    stripped = (word.strip("\"'").rstrip(".") for word in words if "@" in word)
    return dict.fromkeys(filter(_looks_like_address, stripped))


def _looks_like_address(text: str) -> bool:
    local_part, *domains = text.split("@")
    *labels, last = domains[-1].split(".")
    # "Support @ Acme" is none.
    return bool(local_part and labels) and _TOP_LEVEL.fullmatch(last) is not None


def _split_quoted(text: str) -> tuple[str, str]:
    """Part *text* into what is outside of quotes and comments, and what is inside."""
    sides: tuple[list[str], list[str]] = ([], [])
    start, depth, quoted = 0, 0, False
    for delimiter in _DELIMITER.finditer(text):
        mark = delimiter[0]
        if len(mark) > 1 or (quoted and mark != '"') or (depth and mark == '"'):
            continue
        sides[quoted or depth > 0].append(text[start : delimiter.start()])
        start = delimiter.end()
        quoted ^= mark == '"'
        depth = max(0, depth + {"(": 1, ")": -1}.get(mark, 0))
    if quoted or depth:
        return text, ""  # something is opened and never closed
    sides[False].append(text[start:])
    return " ".join(sides[False]), " ".join(sides[True])
