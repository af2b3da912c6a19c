"""The TXT records of the public key that DNS hosts verify links with (draft-03, section 6.4)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at
from alignd.mailauth.ternary import Ternary

ALGORITHM = "RS256"
MAX_RECORD = 255
"""Octets of a record that is one string, which every panel takes."""
_FRAGMENT = 220
_MAX_FRAGMENTS = 20
_RECORD = re.compile(r"[adpt]=[A-Za-z0-9+/=-]+(?:,[adpt]=[A-Za-z0-9+/=-]+)*")


class KeyRecordError(ValueError):
    """Records are no public key; the message names the reason."""


def record_name(provider: Domain, key_name: str) -> str:
    """The name of the records, below the template's syncPubKeyDomain."""
    return f"{key_name}.{provider}"


def make_records(public_key: bytes) -> tuple[str, ...]:
    """The records of *public_key*, DER of a SubjectPublicKeyInfo."""
    text = base64.b64encode(public_key).decode("ascii")
    fragments = [text[start : start + _FRAGMENT] for start in range(0, len(text), _FRAGMENT)]
    return tuple(
        f"p={number},a={ALGORITHM},d={fragment}" for number, fragment in enumerate(fragments, 1)
    )


def parse_records(texts: Iterable[bytes]) -> bytes:
    """Put the key together again, as a DNS host does.

    Raises:
        KeyRecordError: a fragment is wrong, missing or there twice.
    """
    fragments: dict[int, str] = {}
    for text in texts:
        tags = _tags(text)
        number = tags.get("p", "")
        if not number.isdigit() or len(number) > len(str(_MAX_FRAGMENTS)) or not tags.get("d"):
            raise KeyRecordError("a record has no number and fragment")
        if tags.get("a", ALGORITHM) != ALGORITHM or tags.get("t", "x509") != "x509":
            raise KeyRecordError("a record is of another kind of key")
        if int(number) in fragments:
            raise KeyRecordError(f"fragment {int(number)} is there twice")
        fragments[int(number)] = tags["d"]
    if sorted(fragments) != [*range(1, len(fragments) + 1)] or not fragments:
        raise KeyRecordError("a fragment is missing")
    try:
        joined = "".join(fragments[number] for number in sorted(fragments))
        return base64.b64decode(joined, validate=True)
    except ValueError as error:
        raise KeyRecordError("the fragments are not base64") from error


def is_published(public_key: bytes, name: str, lookup: Lookup) -> tuple[Ternary, str]:
    """Whether the records at *name* are *public_key*, and where not, why."""
    texts = texts_at(name, lookup)
    if isinstance(texts, LookupFailed):
        return Ternary.UNKNOWN, f"DNS did not say what {name} has: {texts.reason}"
    if not texts:
        return Ternary.NO, f"{name} has no records: `alignd domain-connect key` prints them"
    try:
        if parse_records(texts) == public_key:
            return Ternary.YES, ""
    except KeyRecordError as error:
        return Ternary.NO, f"{name}: {error}"
    return Ternary.NO, f"{name} has another key"


def _tags(text: bytes) -> dict[str, str]:
    decoded = text.decode("latin-1")
    if not _RECORD.fullmatch(decoded):
        raise KeyRecordError("a record is none of a key")
    pairs = [(part[0], part[2:]) for part in decoded.split(",")]
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise KeyRecordError("a record has a tag twice")
    return tags
