"""Finds what may be reports in files, directories, mboxes, Maildirs and on standard input.

A message is taken apart; a file that is none is taken as it is. Nothing is written or moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alignd.mail.message import Message, MessageError, split_message
from alignd.mail_store.messages import StoreProblem, find_messages
from alignd.reports.parts import find_in_message
from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.unpack import Piece, is_packed, is_xml

MAX_MESSAGE = 40_000_000
"""Octets of a message: what may be packed, in base64, and more."""
MAX_HEADER = 1_000_000
"""Octets of its header."""
MAX_FOUND = 1_000_000
"""Files and messages that are looked at."""
STANDARD_INPUT = "standard input"
_PIECE = 65_536


class _File(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Parcel:
    """What may be a report, and the mail that brought it."""

    name: str
    """A path, and the number of a message in an mbox."""
    pieces: Iterable[Piece]
    """To be read once, before the next parcel is asked for."""
    mail: Message | None
    """None where it is a file."""


@dataclass(frozen=True, slots=True)
class ParcelProblem:
    """Something in which there is no report."""

    name: str
    problem: ReportProblem


Found = Parcel | ParcelProblem


def find_parcels(paths: Iterable[Path]) -> Iterator[Found]:
    """Find the parcels at *paths*, one at a time; directories are searched recursively."""
    number = 0
    for path in paths:
        for stored in find_messages(path):
            number += 1
            if number > MAX_FOUND:
                yield _problem(str(path), ProblemKind.TOO_LARGE, f"over {MAX_FOUND} files")
                return
            if isinstance(stored, StoreProblem):
                yield _problem(stored.name, ProblemKind.UNREADABLE, stored.text)
                continue
            try:
                file = stored.open()
            except (OSError, KeyError) as error:
                yield _problem(stored.name, ProblemKind.UNREADABLE, _reason(error))
                continue
            try:
                yield from find_in_file(stored.name, file)
            finally:
                file.close()


def find_in_file(name: str, file: _File) -> Iterator[Found]:
    """Find the parcels in *file*, which is one message or one report."""
    try:
        start = file.read(_PIECE)
        if not (is_packed(start) or is_xml(start)):
            start += file.read(MAX_MESSAGE + 1 - len(start))
    except OSError as error:
        yield _problem(name, ProblemKind.UNREADABLE, _reason(error))
        return
    if is_packed(start) or is_xml(start):
        yield Parcel(name, _pieces(start, file), None)
    else:
        yield from _find_in_message(name, start)


def _find_in_message(name: str, data: bytes) -> Iterator[Found]:
    if len(data) > MAX_MESSAGE:
        yield _problem(name, ProblemKind.TOO_LARGE, f"it has more than {MAX_MESSAGE} octets")
        return
    if len(data) > MAX_HEADER and not _has_short_header(data):
        text = f"its header has more than {MAX_HEADER} octets"
        yield _problem(name, ProblemKind.TOO_LARGE, text)
        return
    try:
        header, body = split_message(data)
    except MessageError:
        text = "it is neither gzip, zip, XML nor a message" if data.strip() else "it is empty"
        yield _problem(name, ProblemKind.NO_REPORT, text)
        return
    mail = Message("", (), header, body=body)
    is_empty = True
    for found in find_in_message(mail):
        is_empty = False
        if isinstance(found, bytes):
            yield Parcel(name, (found,), mail)
        else:
            yield ParcelProblem(name, found)
    if is_empty:
        yield _problem(name, ProblemKind.NO_REPORT, "no report is in the message")


def _has_short_header(data: bytes) -> bool:
    return data.find(b"\n\n", 0, MAX_HEADER) >= 0 or data.find(b"\n\r\n", 0, MAX_HEADER) >= 0


def _pieces(start: bytes, file: _File) -> Iterator[Piece]:
    piece = start
    try:
        while piece:
            yield piece
            piece = file.read(_PIECE)
    except OSError as error:
        yield ReportProblem(ProblemKind.UNREADABLE, _reason(error))


def _problem(name: str, kind: ProblemKind, text: str) -> ParcelProblem:
    return ParcelProblem(name, ReportProblem(kind, text))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is no longer there"
