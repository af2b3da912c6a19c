"""Postfix's socketmap protocol (socketmap_table(5)): requests out of a stream, and replies.

A request is a netstring, `LENGTH:NAME KEY,`, and so is its reply: `OK VALUE`, `NOTFOUND `, or
`TEMP REASON`. Postfix takes `PERM REASON` for a mistake of the configuration; nobody's mail may
be refused for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_REQUEST = 4096
"""Octets of a request; Postfix asks for an address that came as a line of at most 2,048."""
_MAX_DIGITS = len(str(MAX_REQUEST))
_COMMA = ord(",")


class MalformedError(ValueError):
    """What came is no request; nothing after it can be understood."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question: what does the map *name* say of *key*?"""

    name: str
    key: str


class RequestReader:
    """Cuts the stream of one connection into requests, however it arrives."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def is_within_request(self) -> bool:
        """Whether a part of a request has come, and not all of it."""
        return bool(self._rest)

    def feed(self, octets: bytes) -> Iterator[Request]:
        """The requests that are whole with these *octets*; take all of them.

        Raises:
            MalformedError: what comes after them is none.
        """
        stream = self._rest + octets if self._rest else octets
        start = 0
        while (colon := _colon(stream, start)) is not None:
            end = colon + 1 + _length(stream[start:colon])
            if len(stream) <= end:
                break
            if stream[end] != _COMMA:
                raise MalformedError
            yield _request(stream[colon + 1 : end])
            start = end + 1
        self._rest = stream[start:]


def found(value: str) -> bytes:
    """The reply that the key stands for *value*."""
    return _netstring(f"OK {value}")


def temporary(reason: str) -> bytes:
    """The reply that the question is to be asked again."""
    return _netstring(f"TEMP {reason}")


def _netstring(text: str) -> bytes:
    octets = text.encode()
    return b"%d:%b," % (len(octets), octets)


NOT_FOUND = _netstring("NOTFOUND ")
"""The reply that the map does not have the key."""


def _colon(stream: bytes, start: int) -> int | None:
    """Where the length of the netstring at *start* ends, if it has come."""
    colon = stream.find(b":", start, start + _MAX_DIGITS + 1)
    if colon >= 0:
        return colon
    digits = stream[start : start + _MAX_DIGITS + 1]
    if digits and (not digits.isdigit() or len(digits) > _MAX_DIGITS):
        raise MalformedError
    return None


def _length(digits: bytes) -> int:
    if not digits.isdigit() or (digits.startswith(b"0") and digits != b"0"):
        raise MalformedError
    length = int(digits)
    if length > MAX_REQUEST:
        raise MalformedError
    return length


def _request(content: bytes) -> Request:
    name, blank, key = content.partition(b" ")
    if not blank:
        raise MalformedError
    return Request(name.decode(errors="replace"), key.decode(errors="replace"))
