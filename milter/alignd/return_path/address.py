"""The form of a return address: `LOCAL=DOMAIN=TAG`, from an author to a tag and back.

A tag is the id of a key and a part of an HMAC, in letters that survive a change of case. It has
digits at two fixed places, and the day of a bounce begins with a letter above "f": SpamAssassin
counts seven consonants in a row against a message (measured: one random tag in seventeen has
them), and eleven hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum

from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.return_path.keyring import ALPHABET, Key, Keyring, KeyState

MAX_LOCAL_PART = 64
"""Octets, RFC 5321, section 4.5.3.1.1; large receivers insist on it."""
MAX_ADDRESS = 254
"""Octets, RFC 5321, section 4.5.3.1.3, without the angle brackets."""
BOUNCE_DAYS = 30
"""How long a bounce may take."""
DAY = 86_400
"""Seconds."""
_CLOCKS_APART = 1
"""Days by which the clocks of two machines may differ."""
_DIGITS = "23456789"
_DIGIT_PLACES = (3, 7)
_TAG = 10
_FIRST_OF_DAY = "ghijklmnopqrstuvwxyz"
_DAY_LETTERS = 3
_DAYS = len(_FIRST_OF_DAY) * len(ALPHABET) ** 2  # 56 years, so that no day comes again
_LABEL = b"alignd: return address"
# Postfix refuses "%" and "!" before it asks any map (allow_untrusted_routing), and a leading "-";
# Exim refuses "/" and more (measured).
_ATOM = r"[a-z0-9_+='~-]+"
_SUITABLE = re.compile(rf"(?!-){_ATOM}(?:\.{_ATOM})*")
_TAG_FORM = "".join(
    f"[{_DIGITS if place in _DIGIT_PLACES else ALPHABET}]" for place in range(_TAG)
)
_FORM = re.compile(
    rf"(?P<local>{_SUITABLE.pattern})=(?P<domain>[a-z0-9_.-]+)"
    rf"=(?P<tag>{_TAG_FORM})(?P<day>[{_FIRST_OF_DAY}][{ALPHABET}]{{2}})?"
)


class Kind(Enum):
    """What a return address is for; one of a kind never serves for another."""

    AUTHOR = "author"
    """In From: anybody may answer, for as long as the key is good."""
    BOUNCE = "bounce"
    """In the envelope: for bounces alone, for BOUNCE_DAYS."""
    MARK = "mark"
    """In a field of a message that was forwarded: no address, and good for none."""


class Unfit(Enum):
    """Why an author gets no return address."""

    CHARACTERS = "characters"
    """A local part that some server on the way refuses."""
    TOO_LONG = "too-long"
    OURS = "ours"
    """It is in the domain of the return addresses."""
    BLOCKED = "blocked"
    """return.blocked names the author: nobody could answer."""


class Invalid(Enum):
    """Why a local part is no good return address."""

    FORM = "form"
    """It does not look like one."""
    FORGED = "forged"
    """No key has signed it, or not for this kind or domain."""
    RETIRED = "retired"
    """Its key is retired."""
    EXPIRED = "expired"
    """It is a bounce address, and too old or of the future."""
    UNKNOWN_KEY = "unknown-key"
    """Its key is not listed: another machine may know it already."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a local part with the form of a return address says, good or not."""

    author: Mailbox
    """Whose it is, in lower case."""
    tag: str
    day: str
    """Three letters in a bounce address, else none."""

    @property
    def key_id(self) -> str:
        return self.tag[0]

    def made_on(self, now: float) -> int | None:
        """The day of a bounce address, near the Unix time *now*, counted from 1970-01-01 (UTC)."""
        if not self.day:
            return None
        today = int(now // DAY)
        age = (today - _number(self.day)) % _DAYS
        return today - age + (_DAYS if age >= _DAYS - _CLOCKS_APART else 0)


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """A return address that holds."""

    author: Mailbox
    """Whose it is, in lower case."""
    kind: Kind
    key_id: str
    made_on: int | None = None
    """The day of a bounce address, counted from 1970-01-01 (UTC)."""


def fits(author: Mailbox, domain: Domain, kind: Kind) -> Unfit | None:
    """Why *author* gets no return address of this *kind* in *domain*; None when he does."""
    if author.domain == domain:
        return Unfit.OURS
    # In lower case some other letters are ASCII: U+212A, the sign of kelvin, is a "k".
    if not (author.local_part.isascii() and _SUITABLE.fullmatch(author.local_part.lower())):
        return Unfit.CHARACTERS
    length = len(author.address) + len("=") + _TAG  # with "=" in the place of "@"
    length += _DAY_LETTERS if kind is Kind.BOUNCE else 0
    is_long = length > MAX_LOCAL_PART or length + len("@") + len(domain.name) > MAX_ADDRESS
    return Unfit.TOO_LONG if is_long else None


def encode(author: Mailbox, kind: Kind, domain: Domain, key: Key, now: float) -> Mailbox | Unfit:
    """Make the return address of *author* in *domain*, on the day of the Unix time *now*."""
    unfit = fits(author, domain, kind)
    if unfit is not None:
        return unfit
    plain = Mailbox(author.local_part.lower(), author.domain)
    day = _letters(int(now // DAY) % _DAYS) if kind is Kind.BOUNCE else ""
    tag = _tag(key, kind, domain, plain, day)
    return Mailbox(f"{plain.local_part}={plain.domain}={tag}{day}", domain)


def has_form(local_part: str) -> bool:
    """Whether *local_part* looks like a return address, good or not."""
    return claimed(local_part) is not None


def claimed_author(local_part: str) -> Mailbox | None:
    """Whose return address *local_part* says that it is, good or not; None if it is none."""
    claim = claimed(local_part)
    return claim.author if claim else None


def claimed(local_part: str) -> Claim | None:
    """What *local_part* says, in any case, if it has the form of a return address."""
    if len(local_part) > MAX_LOCAL_PART or not local_part.isascii():
        return None
    match = _FORM.fullmatch(local_part.lower())
    if match is None:
        return None
    try:
        domain = Domain.parse(match["domain"])
    except DomainError:
        return None
    if domain.name != match["domain"]:  # with a dot at its end: a second spelling of one address
        return None
    return Claim(Mailbox(match["local"], domain), match["tag"], match["day"] or "")


def decode(
    local_part: str, domain: Domain, keyring: Keyring, now: float, *, is_mark: bool = False
) -> ReturnAddress | Invalid:
    """Read the return address with this *local_part* in *domain*, in any case.

    A mark has the form of an author's address and is read only as a mark, and so the other way.
    """
    claim = claimed(local_part)
    if claim is None or (is_mark and claim.day):
        return Invalid.FORM
    kind = Kind.BOUNCE if claim.day else Kind.MARK if is_mark else Kind.AUTHOR
    key = keyring.keys.get(claim.key_id)
    if key is None:
        return Invalid.UNKNOWN_KEY
    # Compared in constant time: who guesses must not learn how near he was.
    if not hmac.compare_digest(claim.tag, _tag(key, kind, domain, claim.author, claim.day)):
        return Invalid.FORGED
    if key.state is KeyState.RETIRED:
        return Invalid.RETIRED
    made_on = claim.made_on(now)
    if made_on is not None and now // DAY - made_on > BOUNCE_DAYS:
        return Invalid.EXPIRED
    return ReturnAddress(claim.author, kind, key.id, made_on)


def _tag(key: Key, kind: Kind, domain: Domain, author: Mailbox, day: str) -> str:
    """The id of *key* and 41 bits of its HMAC over all that the address says."""
    said = (kind.value, domain.name, author.local_part, author.domain.name, day)
    text = b"\0".join((_LABEL, *(each.encode() for each in said)))
    number = int.from_bytes(hmac.digest(key.secret, text, hashlib.sha256)[:8], "big")
    letters = [key.id]
    for place in range(1, _TAG):
        alphabet = _DIGITS if place in _DIGIT_PLACES else ALPHABET
        number, digit = divmod(number, len(alphabet))
        letters.append(alphabet[digit])
    return "".join(letters)


def _letters(day: int) -> str:
    rest, third = divmod(day, len(ALPHABET))
    first, second = divmod(rest, len(ALPHABET))
    return _FIRST_OF_DAY[first] + ALPHABET[second] + ALPHABET[third]


def _number(letters: str) -> int:
    number = _FIRST_OF_DAY.index(letters[0])
    for letter in letters[1:]:
        number = number * len(ALPHABET) + ALPHABET.index(letter)
    return number
