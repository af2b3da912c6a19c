"""Makes and reads links by which a customer's admin sees the page of one domain, without a store.

A link says which domain, tenant and language it is for, and its id, and is signed by a key of the
operator. The id has the day on which the link ends, so that a link that was revoked is kept in
mind no longer than that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

from alignd.config.option_types import PageUrl
from alignd.config.settings import LANGUAGES, LanguageCode
from alignd.mail.domain import Domain, DomainError
from alignd.return_path.keyring import ALPHABET, Key, Keyring, KeyState

DAY = 86_400
DEFAULT_DAYS = 30
MAX_DAYS = 366
RANDOM_OCTETS = 8
"""Of what is random in an id; it uses 60 bits of them."""
MAX_TOKEN = 1500
"""Characters: a link with the longest domain and tenant has fewer."""
_TAG_OCTETS = 20  # 160 bits, 32 letters (RFC 2104, section 5: at least half of the digest)
_TAG_LETTERS = 32
_DAY_LETTERS = 4  # 2^20 days from 1970
_RANDOM_LETTERS = 12
_LETTER_BITS = 5
_ID = re.compile(rf"[{ALPHABET}]{{{_DAY_LETTERS + _RANDOM_LETTERS}}}")
# Letters and digits alone: where a mail client makes a link of text it ends before some others.
_TOKEN = re.compile(
    rf"(?P<key>[{ALPHABET}])(?P<tag>[{ALPHABET}]{{{_TAG_LETTERS}}})(?P<said>[{ALPHABET}]+)"
)
_LABEL = b"alignd: share link"
_SEPARATOR = "\0"
_FIELDS = 4


class Unshareable(Enum):
    """Why there is no link to a domain."""

    MAILBOX_PROVIDER = "mailbox-provider"
    """Its admin is nobody's customer, and strangers send as it."""
    NO_DOMAIN = "no-domain"
    """No mail comes from it: it is a top-level domain, or an address."""


class Bad(Enum):
    """Why a link is not good."""

    MALFORMED = "malformed"
    """It does not look like one: cut or joined by a mail client, perhaps."""
    FORGED = "forged"
    """No key has signed it as it is."""
    UNKNOWN_KEY = "unknown-key"
    RETIRED = "retired"
    """Its key is retired: all links that it has signed are revoked."""
    EXPIRED = "expired"
    REVOKED = "revoked"
    MAILBOX_PROVIDER = "mailbox-provider"
    """Its domain has become one."""


@dataclass(frozen=True, slots=True)
class ShareLink:
    """A link: what whoever has it may see."""

    domain: Domain
    tenant: str
    """Whose numbers; the label of a tenant, empty for the general options."""
    language: LanguageCode
    id: str

    @property
    def expires(self) -> int:
        """The Unix time from which on it is not good."""
        return expiry_of(self.id)


def is_id(text: str) -> bool:
    """Whether *text* has the form of an id."""
    return bool(_ID.fullmatch(text))


def expiry_of(link_id: str) -> int:
    """The Unix time at which the link with this id ends."""
    day = 0
    for letter in link_id[:_DAY_LETTERS]:
        day = day * len(ALPHABET) + ALPHABET.index(letter)
    return day * DAY


def unshareable(domain: Domain, providers: Container[Domain]) -> Unshareable | None:
    """Why there is no link to *domain*; None if there may be one."""
    if len(domain.labels) == 1 or domain.labels[-1].isdigit():
        return Unshareable.NO_DOMAIN
    return Unshareable.MAILBOX_PROVIDER if domain in providers else None


def new_id(days: int, now: float, random: bytes) -> str:
    """An id of a link that is good for *days*, and to the end of the last of them (UTC).

    *random* has RANDOM_OCTETS.
    """
    if not 1 <= days <= MAX_DAYS or len(random) != RANDOM_OCTETS:
        raise ValueError("not so many days, or octets")
    last = -int(-(now + days * DAY) // DAY)
    number = last << _RANDOM_LETTERS * _LETTER_BITS
    number |= int.from_bytes(random) >> RANDOM_OCTETS * 8 - _RANDOM_LETTERS * _LETTER_BITS
    letters = []
    for _ in range(_DAY_LETTERS + _RANDOM_LETTERS):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "".join(reversed(letters))


def token_of(link: ShareLink, key: Key) -> str:
    """The text of *link*, signed by *key*: the last part of its URL."""
    fields = (link.domain.name, link.tenant, link.language, link.id)
    octets = _SEPARATOR.join(fields).encode()
    said = base64.b32encode(octets).decode().rstrip("=").lower()
    return key.id + _tag(key, said) + said


def url_of(token: str, base: PageUrl) -> str:
    """The URL of the link with this *token*."""
    return f"{base}/{token}"


def read_token(
    token: str,
    keyring: Keyring,
    revoked: Container[str],
    providers: Container[Domain],
    now: float,
) -> ShareLink | Bad:
    """The link that *token* is the text of, or why it is not good at the Unix time *now*."""
    match = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN else None
    if match is None:
        return Bad.MALFORMED
    key = keyring.keys.get(match["key"])
    if key is None:
        return Bad.UNKNOWN_KEY
    # What is signed is the text as it stands: there is no second spelling of it. Compared in
    # constant time: who guesses must not learn how near he was.
    if not hmac.compare_digest(match["tag"], _tag(key, match["said"])):
        return Bad.FORGED
    link = _parse(match["said"])
    if link is None:
        return Bad.MALFORMED
    return _trouble(link, key, revoked, providers, now) or link


def _trouble(
    link: ShareLink,
    key: Key,
    revoked: Container[str],
    providers: Container[Domain],
    now: float,
) -> Bad | None:
    """Why a link that *key* has signed is not good; None if it is."""
    if key.state is KeyState.RETIRED:
        return Bad.RETIRED
    if now >= link.expires:
        return Bad.EXPIRED
    if link.id in revoked:
        return Bad.REVOKED
    return Bad.MAILBOX_PROVIDER if link.domain in providers else None


def _tag(key: Key, said: str) -> str:
    # Another label than that of return addresses: one key file could serve both by mistake.
    digest = hmac.digest(key.secret, b"\0".join((_LABEL, said.encode())), hashlib.sha256)
    return base64.b32encode(digest[:_TAG_OCTETS]).decode().lower()


def _parse(said: str) -> ShareLink | None:
    """What a link says that was signed; None where another version has made it."""
    try:
        padded = said.upper() + "=" * (-len(said) % 8)
        fields = base64.b32decode(padded).decode().split(_SEPARATOR)
    except (binascii.Error, UnicodeDecodeError):
        return None
    if len(fields) != _FIELDS or fields[2] not in LANGUAGES or not is_id(fields[3]):
        return None
    try:
        return ShareLink(Domain.parse(fields[0]), fields[1], fields[2], fields[3])
    except DomainError:
        return None
