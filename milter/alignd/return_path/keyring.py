"""The keys that sign return addresses, and the text of the file that holds them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
"""Of the tags and of the ids of keys: base32 (RFC 4648, section 6) in lower case."""
MIN_OCTETS = 32
"""Of a key: as many as HMAC-SHA256 makes use of (RFC 2104, section 3)."""
_LINE = re.compile(r"(?P<state>\S+)\s+(?P<secret>\S+)")
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2})+")
_ID_LABEL = b"alignd: id of a key for return addresses"


class KeyState(Enum):
    """What a key is used for. A fleet that shares keys goes through the states in this order."""

    ACCEPT = "accept"
    """Addresses that it signed are good."""
    SIGN = "sign"
    """The same, and new addresses are signed by it."""
    RETIRED = "retired"
    """Addresses that it signed are known to be no longer good."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    secret: bytes = field(repr=False)
    state: KeyState
    id: str = field(init=False)
    """One letter of ALPHABET, made of the secret, so that the file can be put in any order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", id_of(self.secret))  # the way of frozen dataclasses


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """What is wrong with the text of a key file."""

    line: int
    """Counted from 1; of the whole file it is the first."""
    text: str


class KeyringError(Exception):
    """The keys cannot be used; *problems* are in the order of the file."""

    def __init__(self, problems: tuple[KeyProblem, ...]) -> None:
        super().__init__("; ".join(f"line {each.line}: {each.text}" for each in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of a file, by id; one of them signs."""

    keys: Mapping[str, Key]
    signing: Key

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Parse the text of a key file: lines of a state and a secret in hexadecimal digits.

        Raises:
            KeyringError: a line is wrong, or it does not come to one key that signs.
        """
        problems: list[KeyProblem] = []
        keys: dict[str, Key] = {}
        lines: dict[str, int] = {}
        for number, line in _lines(text):
            key = _parse_line(line)
            if isinstance(key, str):
                problems.append(KeyProblem(number, key))
                continue
            if key.id in keys:
                problems.append(KeyProblem(number, _collision(key, keys[key.id], lines[key.id])))
            elif key.state is KeyState.SIGN and (other := _signing(keys)):
                problem = f"a second key that signs; line {lines[other.id]} has one"
                problems.append(KeyProblem(number, problem))
            lines.setdefault(key.id, number)
            keys.setdefault(key.id, key)
        signing = _signing(keys)
        if signing is None and not problems:
            what = "no key signs" if keys else "there is no key"
            problems.append(KeyProblem(1, f"{what}: `alignd new-key` makes one"))
        if signing is None or problems:
            raise KeyringError(tuple(problems))
        return cls(keys, signing)


def id_of(secret: bytes) -> str:
    """The id of the key with this *secret*."""
    return ALPHABET[hmac.digest(secret, _ID_LABEL, hashlib.sha256)[0] % len(ALPHABET)]


def ids_in(text: str) -> frozenset[str]:
    """The ids of the keys in the *text* of a key file, which may have problems."""
    keys = (_parse_line(line) for _, line in _lines(text))
    return frozenset(key.id for key in keys if isinstance(key, Key))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    for number, line in enumerate(text.split("\n"), 1):
        said = line.partition("#")[0].strip()
        if said:
            yield number, said


def _parse_line(line: str) -> Key | str:
    """Parse a line; text says what is wrong with it, and nothing of the secret."""
    match = _LINE.fullmatch(line)
    if not match:
        return "not a state and a key; write for example 'sign', a blank, and the key"
    states = {state.value: state for state in KeyState}
    state = states.get(match["state"])
    if state is None:
        # Not quoted: it may be the key, in the wrong place.
        return f"does not begin with a state: one of {', '.join(states)}"
    if not _HEXADECIMAL.fullmatch(match["secret"]):
        return "the key is not in hexadecimal digits; `alignd new-key` makes one"
    secret = bytes.fromhex(match["secret"])
    if len(secret) < MIN_OCTETS:
        return f"the key is too short: {len(secret)} octets, at least {MIN_OCTETS} are needed"
    return Key(secret, state)


def _collision(key: Key, other: Key, line: int) -> str:
    if key.secret == other.secret:
        other_state = "" if key.state is other.state else ", in another state"
        return f"the key of line {line} once more{other_state}"
    return f"a key with the id {key.id!r}, as line {line} has; `alignd new-key` makes another"


def _signing(keys: Mapping[str, Key]) -> Key | None:
    return next((key for key in keys.values() if key.state is KeyState.SIGN), None)
