"""Decodes the encoded words of RFC 2047 the way mail clients do, and writes them."""

from __future__ import annotations

import re
from binascii import a2b_base64, a2b_qp
from email.header import Header
from itertools import groupby

from alignd.mail import charset

_ENCODED_WORD = r"=\?[^?\s]+\?[bBqQ]\?[^?\r\n]*\?="
_RUN = re.compile(rf"{_ENCODED_WORD}(?:\s+{_ENCODED_WORD})*")
_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?\r\n]*)\?=")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_NOT_ASCII = r"[!-~]*[^\x00-\x7f][^ ]*"
_NOT_ASCII_RUN = re.compile(rf"(^| )({_NOT_ASCII}(?: +{_NOT_ASCII})*)")


def decode(text: str) -> str:
    """Decode the encoded words of *text*.

    Against RFC 2047, section 5, clients also decode inside quoted strings, and join a character
    that a careless sender cut in two; and they show what can be decoded of a word that was cut.
    Octets that are not characters become U+FFFD.
    """
    return _RUN.sub(lambda run: _decode_run(run.group()), text)


def encode(text: str, field_name: str) -> str:
    """Encode *text* for the start of a field *field_name*, folded with a bare LF.

    Each word stays within the 75 characters of RFC 2047, section 2, and no character is split.
    """
    return Header(text, "utf-8", header_name=field_name).encode(linesep="\n")


def encode_unstructured(text: str, field_name: str) -> str:
    """*text* in ASCII, for a field without grammar: words that are not ASCII are encoded."""
    return _NOT_ASCII_RUN.sub(
        lambda run: ("\n " if run[1] else "") + encode(run[2], field_name), text
    )


def _decode_run(run: str) -> str:
    words = [(label.lower(), _octets(way, text)) for label, way, text in _WORD.findall(run)]
    return "".join(
        charset.decode(b"".join(octets for _, octets in together), label)
        for label, together in groupby(words, key=lambda word: word[0])
    )


def _octets(way: str, text: str) -> bytes:
    encoded = text.encode(errors="surrogateescape")
    if way in "qQ":
        return a2b_qp(encoded, header=True)
    digits = _NOT_BASE64.sub(b"", encoded)
    # "=" ends a part, behind which some writers begin another.
    return b"".join(map(_decode_base64, digits.split(b"=")))


def _decode_base64(digits: bytes) -> bytes:
    # A single digit in the last group of four has not even one octet in it.
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    return a2b_base64(digits + b"=" * (-len(digits) % 4))
