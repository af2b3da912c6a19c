"""Poison: messages that are meant to stop whoever reads, edits or queues them."""

from __future__ import annotations

import random

from storm.oddities import odd_message
from tests.lab import cast
from tests.lab.load import Parcel

_TOUCHED = (
    *(b"Sender", b"DKIM-Signature", b"ARC-Seal", b"ARC-Message-Signature", b"Reply-To"),
    *(b"X-Original-From", b"Alignd", b"From", b"Authentication-Results", b"Subject"),
)
_VALUES = (b"", b"a@b.example", b"v=1; a=rsa-sha256; d=x.example; s=y; bh=AA==; b=AA==", b"\xff")
_NUMBERS = (2, 20, 100, 480, 520, 1_500)
_ABSURD_NUMBERS = (8_000, 15_000, 40_000)
_LENGTHS = (64, 900, 998, 2_048, 2_049, 8_000, 60_000)
_ABSURD_LENGTHS = (65_535, 102_400, 300_000)
_FILLINGS = (
    *(b'"', b"(", b"<", b"a", b",", b" ", b"\\", b"@", b"a@b.example, ", b"\xc3\xa9", b"\0"),
    *(b"=?utf-8?q?x?= ", b"=?utf-8?b?", b"\r\n ", b"\r\n\t\r\n ", b"a.", b"; b=AA", b"()"),
)
_SENDERS = (
    *("", "a@b", "!#$%&'*+-/=?^_`{|}~@x.example", '"a b"@x.example', '"a@b"@x.example'),
    *("x" * 64 + "@x.example", "x" * 200 + "@x.example", "a@" + "b." * 100 + "example"),
)
_ABSURDLY = 0.01
_MOST_RECIPIENTS = 40


def poison(author: str, chance: random.Random, number: int) -> Parcel:
    """The message with this number; *author* is an address that it may be from."""
    brew = chance.choice((_many_fields, _long_field, _random_from, _long_body, odd_message))
    content = brew(author, chance)
    own = chance.random() < 1 / 2
    sender = author if own else chance.choice(_SENDERS)
    extra = chance.randrange(_MOST_RECIPIENTS) if chance.random() < 1 / 20 else 0
    others = [f"r{each}@{author.partition('@')[2]}" for each in range(extra)]
    return Parcel(sender, [f"poison{number}@{cast.RECEIVER_DOMAIN}", *others], content)


def _many_fields(author: str, chance: random.Random) -> bytes:
    name, value = chance.choice(_TOUCHED), chance.choice(_VALUES)
    many = chance.choice(_ABSURD_NUMBERS if chance.random() < _ABSURDLY else _NUMBERS)
    fields = [_from(author), b"%s: %s\r\n" % (name, value) * many]
    chance.shuffle(fields)
    return b"".join(fields) + b"Subject: many\r\n\r\nMany\r\n"


def _long_field(author: str, chance: random.Random) -> bytes:
    name, filling = chance.choice(_TOUCHED), chance.choice(_FILLINGS)
    size = chance.choice(_ABSURD_LENGTHS if chance.random() < _ABSURDLY else _LENGTHS)
    long = filling * (size // len(filling))
    end = b" <%s>" % author.encode() if chance.random() < 1 / 2 else b""
    fields = [b"%s: x%s%s\r\n" % (name, long, end)]
    fields += [_from(author)] if chance.random() < 1 / 2 else []
    chance.shuffle(fields)
    return b"".join(fields) + b"Subject: long\r\n\r\nLong\r\n"


def _random_from(author: str, chance: random.Random) -> bytes:
    noise = chance.randbytes(chance.randrange(200)).replace(b"\n", b"\n ")
    mailish = b"".join(chance.choices(_FILLINGS, k=chance.randrange(30)))
    parts = [noise if chance.random() < 1 / 2 else mailish, b" <%s>" % author.encode()]
    chance.shuffle(parts)
    return b"From: " + b"".join(parts) + b"\r\nSubject: random\r\n\r\nRandom\r\n"


def _long_body(author: str, chance: random.Random) -> bytes:
    filling = chance.choice((b"x", b"\r\n", b"\r\n.", b"\r", b"\n", b"\0", b"\xff", b"\xc3\xa9 "))
    return _from(author) + b"\r\n" + filling * chance.choice((1, 999, 100_000))


def _from(author: str) -> bytes:
    return b"From: Marky Mark <%s>\r\n" % author.encode()
