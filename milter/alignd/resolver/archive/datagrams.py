"""What workers and the archive send one another, as datagrams on sockets that nobody else has."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alignd.resolver.cache import Question

MAX_DATAGRAM = 64 * 1024
"""Octets; a socket takes some 200,000 by default."""
MAX_NAME = 255
"""Octets; DNS carries no longer name (RFC 1035, section 2.3.4)."""
_ANSWER = struct.Struct("!dHH")
_ID = struct.Struct("!QB")
_HAS_READ, _IS_KNOWN = 1, 2  # flags of a reply


@dataclass(frozen=True, slots=True)
class HeardAnswer:
    """An answer for the archive."""

    question: str
    heard: float
    """Monotonic time, which is the same in all processes."""
    response: bytes

    def encoded(self) -> bytes:
        question = self.question.encode()
        head = _ANSWER.pack(self.heard, len(question), len(self.response))
        return head + question + self.response


@dataclass(frozen=True, slots=True)
class Reply:
    """What the archive has."""

    response: bytes | None
    has_read: bool
    """Whether it has read its file: else there may be an answer, though it has none."""


def key_of(question: Question) -> str | None:
    """How the archive calls *question*; None for a name that DNS cannot carry."""
    name, record_type = question
    return f"{record_type.value} {name}" if name.isascii() and len(name) <= MAX_NAME else None


def decode_answers(datagram: bytes) -> Iterator[HeardAnswer]:
    """The answers that were encoded one after the other.

    Raises:
        struct.error, UnicodeDecodeError: it is something else.
    """
    place = 0
    while place < len(datagram):
        heard, question, response = _ANSWER.unpack_from(datagram, place)
        middle = place + _ANSWER.size + question
        name = datagram[place + _ANSWER.size : middle].decode()
        place = middle + response
        yield HeardAnswer(name, heard, datagram[middle:place])


def encode_question(number: int, question: str) -> bytes:
    return _ID.pack(number, 0) + question.encode()


def decode_question(datagram: bytes) -> tuple[int, str]:
    """The number and the question.

    Raises:
        struct.error, UnicodeDecodeError: it is something else.
    """
    number, _ = _ID.unpack_from(datagram)
    return number, datagram[_ID.size :].decode()


def encode_reply(number: int, reply: Reply) -> bytes:
    flags = _HAS_READ * reply.has_read | _IS_KNOWN * (reply.response is not None)
    return _ID.pack(number, flags) + (reply.response or b"")


def decode_reply(datagram: bytes) -> tuple[int, Reply]:
    """The number of the question, and the reply.

    Raises:
        struct.error: it is something else.
    """
    number, flags = _ID.unpack_from(datagram)
    response = datagram[_ID.size :] if flags & _IS_KNOWN else None
    return number, Reply(response, bool(flags & _HAS_READ))


def in_batches(answers: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Divide encoded answers so that each part fits into a datagram."""
    batch: list[bytes] = []
    octets = 0
    for answer in answers:
        if batch and octets + len(answer) > MAX_DATAGRAM:
            yield batch
            batch, octets = [], 0
        batch.append(answer)
        octets += len(answer)
    if batch:
        yield batch
