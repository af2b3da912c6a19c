"""Finds the reports in a message: whatever its parts are called, their octets tell.

RFC 2045 and 2046, as far as it takes. The email package of Python needs a gigabyte for a message
that is made to cost one, and minutes for parts within parts.
"""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator

from alignd.mail.message import Message
from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.unpack import is_packed, is_xml

MAX_PARTS = 100
MAX_DEPTH = 5
"""Parts within one another."""
_MAX_PART_HEADER = 65_536
_MAX_BOUNDARY = 200

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_LIKE_BASE64 = (b"H4sI", b"UEsD", b"PD94bW", b"PGZlZWRiYWNr")
"""How gzip, zip, `<?xml` and `<feedback` begin in base64."""
_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_BOUNDARY = re.compile(rb""";\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;]+))""", re.IGNORECASE)


def find_in_message(message: Message) -> Iterator[bytes | ReportProblem]:
    """Find what looks like a report in *message*, whose body is kept."""
    left = [MAX_PARTS]
    fields = tuple((each.name.lower().encode(), each.unfolded) for each in message.header)
    yield from _find(fields, message.body or b"", MAX_DEPTH, left)
    if left[0] < 0:
        yield ReportProblem(ProblemKind.TOO_LARGE, f"it has more than {MAX_PARTS} parts")


def _find(
    fields: tuple[tuple[bytes, bytes], ...], body: bytes, depth: int, left: list[int]
) -> Iterator[bytes]:
    kind = _value(fields, b"content-type")
    boundary = _boundary(kind)
    if kind.lower().startswith(b"multipart/") and boundary and depth:
        for part in _split(body, boundary, left):
            yield from _find(*_split_header(part), depth - 1, left)
    elif kind.lower().startswith(b"message/rfc822") and depth:
        yield from _find(*_split_header(body), depth - 1, left)
    else:
        found = _decoded(_value(fields, b"content-transfer-encoding"), body)
        if is_packed(found) or (is_xml(found) and b"feedback" in found[:_FAR].lower()):
            yield found


_FAR = 65_536
"""Octets of XML in which a report begins."""


def _value(fields: tuple[tuple[bytes, bytes], ...], name: bytes) -> bytes:
    return next((value.strip() for each, value in fields if each == name), b"")


def _boundary(kind: bytes) -> bytes:
    found = _BOUNDARY.search(kind[:_MAX_PART_HEADER])
    boundary = (found[1] or found[2] or b"") if found else b""
    return boundary if len(boundary) <= _MAX_BOUNDARY else b""


def _split(body: bytes, boundary: bytes, left: list[int]) -> Iterator[bytes]:
    """The parts of a multipart body; one that stops short ends with the body."""
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*\r?$", re.MULTILINE)
    start = None
    for found in line.finditer(body):
        if start is not None:
            yield body[start : max(start, found.start() - 1)]
        left[0] -= 1
        if found[1] or left[0] < 0:
            return
        start = found.end() + 1
    if start is not None:
        yield body[start:]


def _split_header(part: bytes) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    found = _BLANK_LINE.search(part, 0, _MAX_PART_HEADER)
    if found is None:
        return (), part
    lines = _FOLD.sub(b"", part[: found.start()]).split(b"\n")
    pairs = (line.partition(b":") for line in lines)
    fields = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return fields, part[found.end() :]


def _decoded(encoding: bytes, body: bytes) -> bytes:
    encoding = encoding.lower()
    # Some do not say so.
    if encoding == b"base64" or body.lstrip()[:20].startswith(_LIKE_BASE64):
        return _unbase64(body)
    if encoding == b"quoted-printable":
        return quopri.decodestring(body)
    return body


def _unbase64(body: bytes) -> bytes:
    """Decode, whatever else stands there; what a list adds below it is behind the report."""
    letters = body.translate(None, _NOT_BASE64)
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
