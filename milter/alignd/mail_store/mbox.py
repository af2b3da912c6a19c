"""Finds the messages of an mbox, of whichever variant: mboxo, mboxrd, mboxcl or mboxcl2.

https://www.loc.gov/preservation/digital/formats/fdd/fdd000383.shtml tells them apart. The mailbox
module of Python splits at each line that begins with `From `, in a body, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAX_LINE = 1_000_000  # octets; a longer line is read in pieces
_MAX_SEPARATOR = 1000
_DATE = (
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?[ \t]+"
    rb"(?:[A-Z][a-z]{2}[ \t]+\d{1,2}|\d{1,2}[ \t]+[A-Z][a-z]{2}[ \t]+\d{4}),?[ \t]+"
    rb"\d{1,2}:\d\d(?::\d\d)?\b[^\n]*\d"
)
_SEPARATOR = re.compile(rb"From (?:[^\n]*[ \t])?" + _DATE)
_SEPARATOR_WITHOUT_DATE = re.compile(rb"From [^ \t@]+@[^ \t@]+\s*\Z")
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|>From ")
_FIELD_CALLED_FROM = re.compile(rb"From[ \t]+:")
_LENGTH = re.compile(rb"^Content-Length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$", re.I | re.M)
_QUOTED = re.compile(rb"^>(?=>*From )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Span:
    """Where a message lies in an mbox, without its separator and the blank line behind it."""

    start: int
    stop: int


def is_mbox(first_line: bytes) -> bool:
    """Whether a file that begins with *first_line* is an mbox."""
    return first_line.startswith(b"From ") and not _FIELD_CALLED_FROM.match(first_line)


def find_spans(file: BinaryIO) -> Iterator[Span]:
    """Find the messages of *file*, one at a time; it begins with a separator."""
    file.seek(0)
    start = position = len(_line(file))
    blank = 0  # octets of the blank line before this one
    while True:
        if position == start and (end := _end_by_length(file, start)) is not None:
            position, blank = file.seek(end), 0
        line = _line(file)
        if not line:
            break
        if _is_separator(file, line, is_behind_blank=bool(blank)):
            yield Span(start, max(start, position - blank))
            position += len(line)
            start, blank = position, 0
            continue
        position += len(line)
        blank = len(line) if not line.strip(b"\r\n") else 0
    yield Span(start, max(start, position - blank))


class Part:
    """The message at a span of an mbox, as a file of its own, its quoted `>From ` as it was."""

    def __init__(self, path: Path, span: Span) -> None:
        self._file = path.open("rb")
        self._file.seek(span.start)
        self._left = span.stop - span.start

    def readline(self, size: int = -1) -> bytes:
        """Read a line of the header, where nothing is quoted."""
        return self._took(self._file.readline(self._within(size)))

    def read(self, size: int = -1) -> bytes:
        """Read up to *size* octets of the body."""
        found = self._took(self._file.read(self._within(size)))
        # What is cut is longer than anybody wanted, and must not become shorter.
        return found if self._left else _QUOTED.sub(b"", found)

    def close(self) -> None:
        """Close the mbox."""
        self._file.close()

    def _within(self, size: int) -> int:
        return self._left if size < 0 else min(size, self._left)

    def _took(self, found: bytes) -> bytes:
        self._left -= len(found)
        return found


def _is_separator(file: BinaryIO, line: bytes, *, is_behind_blank: bool) -> bool:
    if not line.startswith(b"From "):
        return False
    if _is_dated(line):
        return is_behind_blank or _begins_header(file)
    return bool(is_behind_blank and _SEPARATOR_WITHOUT_DATE.match(line) and _begins_header(file))


def _begins_header(file: BinaryIO) -> bool:
    """Whether the next line begins a header; *file* stays where it is."""
    position = file.tell()
    line = _line(file)
    file.seek(position)
    return bool(_FIELD.match(line))


def _end_by_length(file: BinaryIO, start: int) -> int | None:
    """The end of the message at *start* by its Content-Length, if a separator is there.

    *file* is at *start*, and there again at the end.
    """
    try:
        found = _LENGTH.search(b"".join(_header(file)))
        end = file.tell() + int(found[1]) if found else None
        if end is None or end > file.seek(0, os.SEEK_END):
            return None
        file.seek(end)
        line = _line(file)
        if line and not line.strip(b"\r\n"):
            line = _line(file)
        return end if not line or _is_dated(line) else None
    finally:
        file.seek(start)


def _header(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a header, up to a blank line or a separator."""
    while (line := _line(file)) and not _is_dated(line):
        yield line
        if not line.strip(b"\r\n"):
            break


def _is_dated(line: bytes) -> bool:
    return _SEPARATOR.match(line[:_MAX_SEPARATOR]) is not None


def _line(file: BinaryIO) -> bytes:
    return file.readline(_MAX_LINE)
