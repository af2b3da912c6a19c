"""Signs messages with DKIM, as well or as oddly as a test asks for; shares no code with alignd."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Header = tuple[tuple[str, bytes], ...]
"""Names, and what stands behind the colon, with CRLF and a blank for a fold."""

DOMAIN, SELECTOR = "x.example", "s1"
NAMES = ("from", "to", "subject")
HEADER: Header = (
    ("Received", b" from a.example by b.example; Fri, 27 Nov 2026 10:00:00 +0100"),
    ("From", b" Ann <ann@x.example>"),
    ("To", b" Julia <julia@customer.example>"),
    ("Subject", b" Re: printer"),
    ("Date", b" Fri, 27 Nov 2026 10:00:00 +0100"),
    ("Message-ID", b" <1@x.example>"),
)
BODY = b"Hello Julia\r\n"
RELAXED, SIMPLE = "relaxed/relaxed", "simple/simple"


def new_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """Make a key pair."""
    return rsa.generate_private_key(exponent, bits)


def public_key(key: rsa.RSAPrivateKey, form: PublicFormat | None = None) -> str:
    """The base64 of p=."""
    form = form or PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, form)).decode()


def txt(name: str, text: str) -> str:
    """A line of a zone with a TXT record; characters of *text* are octets."""
    parts = [text[at : at + 200] for at in range(0, len(text), 200)] or [""]
    return f"{name} TXT {' '.join(map(_quoted, parts))}\n"


def _quoted(text: str) -> str:
    plain = re.sub(r'["\\;]|[^ -~]', lambda found: f"\\{ord(found[0]):03}", text)
    return f'"{plain}"'


@dataclass(frozen=True)
class Draft:
    """A signature to be, and the message it is for."""

    tags: tuple[tuple[str, str], ...] = (
        ("v", "1"),
        ("a", "rsa-sha256"),
        ("c", RELAXED),
        ("d", DOMAIN),
        ("s", SELECTOR),
        ("h", ":".join(NAMES)),
        ("bh", "{bh}"),
        ("b", "{b}"),
    )
    """{bh} and {b} stand for what has to be there."""
    names: tuple[str, ...] = NAMES
    """The fields that are signed, which h= may say in its own way."""
    header: Header = HEADER
    body: bytes = BODY
    canonicalization: str = RELAXED
    """What c= means, however it says so."""
    between: str = "; "
    end: str = ""
    hashed_octets: int | None = None

    def with_tags(self, **values: str | None) -> Self:
        """The same with other values of tags; None takes a tag away, and a new one comes first."""
        kept = [(name, values.pop(name, value)) for name, value in self.tags]
        tags = [*values.items(), *kept]
        return replace(
            self, tags=tuple((name, value) for name, value in tags if value is not None)
        )

    def value(self) -> str:
        """The field's value, with {bh} and {b} in it."""
        return " " + self.between.join(f"{name}={value}" for name, value in self.tags) + self.end

    def signed(self, key: rsa.RSAPrivateKey) -> bytes:
        """The value with all in its place."""
        head, _, tail = self.canonicalization.partition("/")
        body = relaxed_body(self.body) if tail == "relaxed" else simple_body(self.body)
        digest = hashlib.sha256(body[: self.hashed_octets]).digest()
        value = self.value().replace("{bh}", base64.b64encode(digest).decode())
        empty = value.replace("{b}", "").encode("latin-1")
        signature = key.sign(
            self._hashed(empty, is_relaxed=head == "relaxed"), PKCS1v15(), hashes.SHA256()
        )
        return value.replace("{b}", base64.b64encode(signature).decode()).encode("latin-1")

    def message(self, key: rsa.RSAPrivateKey, above: Header = ()) -> bytes:
        """The message with its signature on top, and *above* above that."""
        fields = (*above, ("DKIM-Signature", self.signed(key)), *self.header)
        return written(fields, self.body)

    def _hashed(self, empty: bytes, *, is_relaxed: bool) -> bytes:
        """What is hashed of the header, section 3.7."""
        chosen: list[tuple[str, bytes]] = []
        for name in dict.fromkeys(each.lower() for each in self.names):
            there = [each for each in reversed(self.header) if each[0].lower() == name]
            chosen += there[: sum(each.lower() == name for each in self.names)]
        order = [each.lower() for each in self.names]
        picked = [chosen.pop(_index(chosen, name)) for name in order if _has(chosen, name)]
        last = ("DKIM-Signature", empty)
        if is_relaxed:
            lines = [name.lower().encode() + b":" + relaxed(value) for name, value in picked]
            return b"".join(line + b"\r\n" for line in lines) + b"dkim-signature:" + relaxed(empty)
        lines = [name.encode() + b":" + value for name, value in (*picked, last)]
        return b"\r\n".join(lines)


def written(header: Sequence[tuple[str, bytes]], body: bytes) -> bytes:
    """Return the message as it stands on the wire."""
    fields = b"".join(name.encode() + b":" + value + b"\r\n" for name, value in header)
    return fields + b"\r\n" + body


def relaxed(value: bytes) -> bytes:
    """Section 3.4.2."""
    return re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    """Section 3.4.4."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def simple_body(body: bytes) -> bytes:
    """Section 3.4.3."""
    return re.sub(rb"(\r\n)*\Z", b"", body) + b"\r\n"


def _has(fields: list[tuple[str, bytes]], name: str) -> bool:
    return any(each[0].lower() == name for each in fields)


def _index(fields: list[tuple[str, bytes]], name: str) -> int:
    return next(at for at, each in enumerate(fields) if each[0].lower() == name)
