"""Published DKIM keys (RFC 6376, section 3.6), checked for use by every receiver.

A key counts when OpenDKIM 2.11, rspamd 3.4, dkimpy 1.1 and mailauth 4 all verify with it
(measured). They differ about much that section 3.6.1 says, and about all that it does not.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    RSAPublicNumbers,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at

MIN_KEY_BITS = 1024
"""RFC 8301, section 3.2: no receiver may accept a shorter key."""
MAX_KEY_BITS = 4096
"""RFC 6376, section 3.3.3: no receiver has to take a longer one."""
MAX_EXPONENT = 2**32
"""Signers use 65537, a few 3. A longer one costs time, and OpenSSL refuses it with a long key."""
MAX_RECORD = 1024
"""Octets of the longest record that OpenDKIM reads (measured); a 4096-bit key takes 750."""
SAFE_ALGORITHM = "rsa-sha256"
"""The one algorithm that every receiver accepts: rsa-sha1 is forbidden (RFC 8301, section 3.1),
and few receivers know ed25519-sha256 (RFC 8463)."""

_BLANKS = re.compile(r"[ \t\r\n]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# OpenDKIM reads no list with an octet beyond printable ASCII and white space in it (measured).
_TAG_LIST = re.compile(r"[\t\n\r -~]*")


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
    if len(text) > MAX_RECORD:
        return KeyProblem(DkimResult.PERMERROR, f"the key record is over {MAX_RECORD} octets")
    tags = parse_tags(text.decode("latin-1"))
    # mailauth drops what stands behind a backslash.
    if tags is None or b"\\" in text or not _version_is_right(tags):
        return KeyProblem(DkimResult.PERMERROR, "not a key record")
    if problem := _unusable(tags):
        return problem
    numbers = _public_numbers(tags["p"])
    if isinstance(numbers, KeyProblem):
        return numbers
    flags = _list(tags.get("t", "").lower())
    return PublicKey(text, numbers.n, "s" in flags)


def _version_is_right(tags: dict[str, str]) -> bool:
    return "v" not in tags or (next(iter(tags)) == "v" and tags["v"] == "DKIM1")


def _public_numbers(encoded: str) -> RSAPublicNumbers | KeyProblem:
    der = decode_base64(encoded)
    try:
        key = load_der_public_key(der or b"")
    except (ValueError, UnsupportedAlgorithm):
        return KeyProblem(DkimResult.PERMERROR, "the key cannot be read")
    if not isinstance(key, RSAPublicKey):
        return KeyProblem(DkimResult.POLICY, "not an RSA key")
    # Section 3.6.1 leaves open whether p= is a SubjectPublicKeyInfo or the bare RSAPublicKey of
    # PKCS#1 in it. Only dkimpy takes the latter, and other ways to write the former it does not.
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        return KeyProblem(
            DkimResult.PERMERROR, "the key is not a SubjectPublicKeyInfo: PKCS#1, perhaps"
        )
    numbers = key.public_numbers()
    if not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS or numbers.e > MAX_EXPONENT:
        return KeyProblem(
            DkimResult.POLICY, f"not an RSA key of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits"
        )
    return numbers


def _unusable(tags: dict[str, str]) -> KeyProblem | None:
    if not tags.get("p"):
        return KeyProblem(DkimResult.PERMERROR, "the key is revoked")
    if tags.get("k", "rsa") != "rsa":
        return KeyProblem(DkimResult.POLICY, "not every receiver knows the type of the key")
    if "sha256" not in _list(tags.get("h", "sha256")):
        return KeyProblem(DkimResult.PERMERROR, "the key is not for sha256 (h=)")
    if tags.get("s", "*") not in {"*", "email"}:
        # dkimpy refuses every list of services, "tlsrpt:email" too.
        return KeyProblem(DkimResult.PERMERROR, "the key is not for mail alone (s=)")
    if "y" in _list(tags.get("t", "").lower()):
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
    if not _TAG_LIST.fullmatch(text):
        return None
    tags: dict[str, str] = {}
    for part in text.strip().removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.strip()
        # A duplicate makes the whole list invalid.
        if not equals or name in tags or not _TAG_NAME.fullmatch(name):
            return None
        tags[name] = value.strip()
    return tags


def decode_base64(text: str) -> bytes | None:
    """Decode a value of section 2.10; None where some receiver would not.

    White space is nothing to all of them, and a "=" too few or too many is an error to some.
    """
    packed = _BLANKS.sub("", text)
    if len(packed) % 4 or not _BASE64.fullmatch(packed):
        return None
    return base64.b64decode(packed)


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split(":")]
