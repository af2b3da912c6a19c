"""Unpacks a report: gzip, zip or plain XML, told by its first octets and by nothing else.

Names and content types are often wrong. Everything comes in pieces and is counted, so that a bomb
ends at the limit. A zip is read from its front: its first file is unpacked, whatever the
directory at its end says, so that the number of members costs nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alignd.reports.problem import ProblemKind, ReportProblem

MAX_PACKED = 20_000_000
"""Octets of a report as it comes."""
MAX_UNPACKED = 200_000_000
"""Octets of a report, and of what it was packed in on the way."""
MAX_MEMBERS = 100
"""Members of a zip, or of a gzip, that are looked at."""
MAX_LAYERS = 2
"""A zip in a gzip has been seen; nobody packs a report three times."""

Piece = bytes | ReportProblem
"""Some octets; a problem is the last of a row of pieces."""

_PIECE = 65_536
_START = 1024  # octets that are looked at
_GZIP, _ZIP, _ZIP_EMPTY = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
_ARCHIVES = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BLANKS = b" \t\r\n\0"
_LOCAL = struct.Struct("<4x2xHH4xIII HH")  # APPNOTE.TXT, section 4.3.7
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_BEHIND = 0x1, 0x8
_NO_SIZE = 0xFFFFFFFF


def unpack(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Unpack *pieces* to XML, piece by piece. The last one may be why that is not all."""
    source = _Source(iter(pieces))
    is_packed = not is_xml(source.peek(_START))
    yield from _layer(_bounded(source.rest(), is_packed=is_packed), MAX_LAYERS)


def is_packed(start: bytes) -> bool:
    """Whether what begins so is packed, in a way that `unpack` knows or knows the name of."""
    return start.startswith((_GZIP, _ZIP, _ZIP_EMPTY, *_ARCHIVES))


def is_xml(start: bytes) -> bool:
    """Whether what begins so may be XML."""
    start = start[:_START]
    for mark in _MARKS:
        start = start.removeprefix(mark)
    return start.lstrip(_BLANKS)[:1] == b"<"


def _layer(pieces: Iterator[Piece], layers: int) -> Iterator[Piece]:
    source = _Source(pieces)
    start = source.peek(_START)
    if start.startswith((_GZIP, _ZIP, _ZIP_EMPTY)):
        if not layers:
            yield _problem(ProblemKind.TOO_LARGE, "it is packed more than twice")
            return
        found = _gunzip(source) if start.startswith(_GZIP) else _unzip(source)
        yield from _layer(_bounded(found, is_packed=False), layers - 1)
    elif is_xml(start):
        if not start.startswith(_MARKS):
            source.skip(len(start) - len(start.lstrip(_BLANKS)))
        yield from source.rest()
    else:
        yield source.problem or _nothing(start)


def _nothing(start: bytes) -> ReportProblem:
    for magic, name in _ARCHIVES.items():
        if start.startswith(magic):
            return _problem(ProblemKind.UNSUPPORTED, f"it is {name}")
    what = "it is neither gzip, zip nor XML" if start.strip(_BLANKS) else "it is empty"
    return _problem(ProblemKind.NO_REPORT, what)


def _bounded(pieces: Iterator[Piece], *, is_packed: bool) -> Iterator[Piece]:
    size, limit = 0, MAX_PACKED if is_packed else MAX_UNPACKED
    for piece in pieces:
        size += len(piece) if isinstance(piece, bytes) else 0
        if size > limit:
            state = "packed" if is_packed else "unpacked"
            yield _problem(ProblemKind.TOO_LARGE, f"{state}, it has more than {limit} octets")
            return
        yield piece


class _Source:
    """Pieces, of which the beginning can be looked at, taken and given back."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._held = b""
        self.problem: ReportProblem | None = None

    def peek(self, size: int) -> bytes:
        """The next *size* octets, or what is left."""
        while len(self._held) < size and (more := self._next()):
            self._held += more
        return self._held[:size]

    def take(self, size: int) -> bytes:
        found = self.peek(size)
        self._held = self._held[len(found) :]
        return found

    def skip(self, size: int) -> bool:
        """Whether there were *size* octets to skip."""
        while size and (piece := self.piece()):
            self.give_back(piece[size:])
            size -= min(size, len(piece))
        return not size

    def piece(self) -> bytes:
        """The next octets, as many as there are at hand; empty at the end."""
        held, self._held = self._held, b""
        return held or self._next()

    def give_back(self, octets: bytes) -> None:
        self._held = octets + self._held

    def rest(self) -> Iterator[Piece]:
        while piece := self.piece():
            yield piece
        if self.problem:
            yield self.problem

    def _next(self) -> bytes:
        for piece in self._pieces:
            if isinstance(piece, ReportProblem):
                self.problem = piece
                return b""
            if piece:
                return piece
        return b""


def _gunzip(source: _Source) -> Iterator[Piece]:
    """RFC 1952. What stands behind the last member is no part of it (Mimecast sends some)."""
    for _ in range(MAX_MEMBERS):
        packed = _Inflated(source, zlib.MAX_WBITS | 16)
        yield from packed.pieces()
        if packed.has_failed or not source.peek(2).startswith(_GZIP):
            return
    yield _problem(ProblemKind.TOO_LARGE, f"it has more than {MAX_MEMBERS} members")


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int

    @property
    def is_file(self) -> bool:
        return not self.name.endswith((b"/", b"\\")) and not self.name.startswith(b"__MACOSX/")

    @property
    def has_sizes(self) -> bool:
        return not self.flags & _SIZES_BEHIND and self.packed != _NO_SIZE


def _unzip(source: _Source) -> Iterator[Piece]:
    for _ in range(MAX_MEMBERS):
        if not source.peek(4).startswith(_ZIP):
            text = "no file is in the zip" if not source.problem else source.problem.text
            yield _problem(ProblemKind.NO_REPORT, text)
            return
        member = _read_member(source)
        if member is None:
            yield source.problem or _problem(ProblemKind.DAMAGED, "the zip is cut off")
            return
        if member.is_file:
            yield from _unzip_file(source, member)
            return
        if not member.has_sizes and member.method == _DEFLATED:
            yield _problem(ProblemKind.UNSUPPORTED, "a directory in the zip has no size")
            return
        if member.has_sizes and not source.skip(member.packed):
            yield _problem(ProblemKind.DAMAGED, "the zip is cut off")
            return
    yield _problem(ProblemKind.TOO_LARGE, f"no file is among the first {MAX_MEMBERS} members")


def _read_member(source: _Source) -> _Member | None:
    fixed = source.take(_LOCAL.size)
    if len(fixed) < _LOCAL.size:
        return None
    flags, method, checksum, packed, size, name_size, extra = _LOCAL.unpack(fixed)
    name = source.take(name_size)
    if len(name) < name_size or not source.skip(extra):
        return None
    return _Member(name, flags, method, checksum, packed, size)


def _unzip_file(source: _Source, member: _Member) -> Iterator[Piece]:
    if member.flags & _ENCRYPTED:
        yield _problem(ProblemKind.UNSUPPORTED, "the zip is encrypted")
    elif member.method == _DEFLATED:
        packed = _Inflated(source, -zlib.MAX_WBITS)
        yield from packed.pieces()
        if not packed.has_failed and packed.checksum != _checksum(source, member):
            yield _problem(ProblemKind.DAMAGED, "its checksum is wrong")
    elif member.method == _STORED and member.has_sizes:
        yield from _stored(source, member)
    else:
        text = f"the zip is packed by method {member.method}"
        yield _problem(ProblemKind.UNSUPPORTED, text)


def _checksum(source: _Source, member: _Member) -> int:
    """The checksum of what was unpacked, which may stand behind it (section 4.3.9)."""
    if not member.flags & _SIZES_BEHIND:
        return member.checksum
    behind = source.take(8)
    if behind.startswith(b"PK\x07\x08"):
        behind = behind[4:]
    return int.from_bytes(behind[:4], "little")


def _stored(source: _Source, member: _Member) -> Iterator[Piece]:
    left, checksum = member.packed, 0
    while left and (piece := source.piece()):
        source.give_back(piece[left:])
        piece = piece[:left]
        left -= len(piece)
        checksum = zlib.crc32(piece, checksum)
        yield piece
    if left:
        yield source.problem or _problem(ProblemKind.DAMAGED, "the zip is cut off")
    elif checksum != member.checksum:
        yield _problem(ProblemKind.DAMAGED, "its checksum is wrong")


class _Inflated:
    """Takes one deflated stream from a source, and leaves what is behind it."""

    def __init__(self, source: _Source, window: int) -> None:
        self._source = source
        self._inflate = zlib.decompressobj(window)
        self.checksum = 0
        self.has_failed = False

    def pieces(self) -> Iterator[Piece]:
        packed = b""
        while not self._inflate.eof:
            packed = packed or self._source.piece()
            try:
                found = self._inflate.decompress(packed, _PIECE)
            except zlib.error as error:
                yield self._failed(f"it does not unpack: {error}")
                return
            if not packed and not found and not self._inflate.eof:
                yield self._failed("it is cut off")
                return
            packed = self._inflate.unconsumed_tail
            self.checksum = zlib.crc32(found, self.checksum)
            if found:
                yield found
        self._source.give_back(self._inflate.unused_data)

    def _failed(self, text: str) -> ReportProblem:
        self.has_failed = True
        return self._source.problem or _problem(ProblemKind.DAMAGED, text)


def _problem(kind: ProblemKind, text: str) -> ReportProblem:
    return ReportProblem(kind, text)
