"""Published DKIM keys (RFC 6376, section 3.6), checked for use by every receiver."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at

MIN_KEY_BITS = 1024
"""RFC 8301, section 3.2: no receiver may accept a shorter key."""
SAFE_ALGORITHM = "rsa-sha256"
"""The one algorithm that every receiver accepts: rsa-sha1 is forbidden (RFC 8301, section 3.1),
and few receivers know ed25519-sha256 (RFC 8463)."""

_BLANKS = re.compile(r"\s+")


class DkimResult(Enum):
    """Results of RFC 8601, section 2.7.1; POLICY is a pass to some receivers only."""

    NONE = "none"
    """There will be no signature."""
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that every receiver can verify signatures with."""

    text: bytes
    """The record as published."""
    modulus: int
    identity_must_be_domain: bool
    """t=s: the domain of i= must be d= itself (RFC 6376, section 3.6.1)."""


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """The reason why not every receiver can use a key, and the result of its signatures."""

    result: DkimResult
    explanation: str


def key_name(domain: Domain, selector: str) -> str:
    """The name of the key record of *selector* at *domain*, RFC 6376, section 3.6.2.1."""
    return f"{selector}._domainkey.{domain}"


def find_key(domain: Domain, selector: str, lookup: Lookup) -> PublicKey | KeyProblem:
    """Look up the key of *selector* at *domain*, and check that every receiver can use it."""
    texts = texts_at(key_name(domain, selector), lookup)
    if isinstance(texts, LookupFailed):
        return KeyProblem(DkimResult.TEMPERROR, f"DNS: {texts.reason}")
    if len(texts) != 1:
        # Section 3.6.2.2: with several records it is undefined which one a receiver takes.
        return KeyProblem(DkimResult.PERMERROR, f"{len(texts)} key records")
    return parse_key(texts[0])


def parse_key(text: bytes) -> PublicKey | KeyProblem:
    """Parse a key record, section 3.6.1, and check what receivers check."""
    tags = parse_tags(text.decode("latin-1"))
    if tags is None or ("v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1")):
        return KeyProblem(DkimResult.PERMERROR, "not a key record")
    if problem := _unusable(tags):
        return problem
    try:
        key = load_der_public_key(base64.b64decode(_BLANKS.sub("", tags["p"]), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return KeyProblem(DkimResult.PERMERROR, "the key cannot be read")
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
        return KeyProblem(DkimResult.POLICY, f"not an RSA key of {MIN_KEY_BITS} bits or more")
    return PublicKey(text, key.public_numbers().n, "s" in _list(tags.get("t", "")))


def _unusable(tags: dict[str, str]) -> KeyProblem | None:
    if not tags.get("p"):
        return KeyProblem(DkimResult.PERMERROR, "the key is revoked")
    if tags.get("k", "rsa") != "rsa":
        return KeyProblem(DkimResult.POLICY, "not every receiver knows the type of the key")
    if "sha256" not in _list(tags.get("h", "sha256")):
        return KeyProblem(DkimResult.PERMERROR, "the key is not for sha256 (h=)")
    if not {"*", "email"} & set(_list(tags.get("s", "*"))):
        return KeyProblem(DkimResult.PERMERROR, "the key is not for mail (s=)")
    if "y" in _list(tags.get("t", "")):
        # Section 3.6.1: signed mail of a domain in test mode is treated as unsigned.
        return KeyProblem(DkimResult.POLICY, "the key is in test mode (t=y)")
    return None


def private_modulus(content: bytes) -> int:
    """Read the modulus of a private RSA key, written as OpenDKIM takes it: PEM, or base64 of DER.

    PEM begins with the first octet, or OpenDKIM takes it for base64 (measured).

    Raises:
        ValueError: *content* is not a private RSA key, or it is encrypted.
    """
    try:
        if content.startswith(b"-----"):
            key = load_pem_private_key(content, password=None)
        else:
            der = base64.b64decode(b"".join(content.split()), validate=True)
            key = load_der_private_key(der, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key.private_numbers().public_numbers.n


def parse_tags(text: str) -> dict[str, str] | None:
    """Parse the tags of a key record or signature, section 3.2; None if it is not a tag list."""
    tags: dict[str, str] = {}
    for part in text.strip().removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name or name in tags:  # a duplicate makes the whole list invalid
            return None
        tags[name] = value.strip()
    return tags


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split(":")]
