"""Reads the messages of mboxes, Maildirs and files, one at a time.

Nothing is locked, moved or written: the mailbox module only lists names of a Maildir.
"""

from __future__ import annotations

import mailbox
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from alignd.mail_store.mbox import Part, find_spans, is_mbox

MAX_HEADER = 16_000_000
"""Octets of a header; what has more is not a message."""

MAX_DEPTH = 40
"""Directories within one another that are searched."""

_PARTS = frozenset({"cur", "new", "tmp"})
"""The directories of a Maildir that are no folders."""


class ProblemKind(Enum):
    """Why something in a mail store is not judged."""

    UNREADABLE = "unreadable"
    BROKEN = "broken"
    """It is not a message."""
    FAILED = "failed"
    """A bug."""


@dataclass(frozen=True, slots=True)
class StoreProblem:
    """Something in a mail store that is not judged."""

    name: str
    """Its path, with its number in an mbox."""
    kind: ProblemKind
    text: str


WHOLE_BODY = -1
"""As the octets of a body to read."""


class _File(Protocol):
    def read(self, size: int = ...) -> bytes: ...
    def readline(self, size: int = ...) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in a mail store."""

    name: str
    """Its path, with its number in an mbox."""
    open: Callable[[], _File]

    def read(self, max_body: int) -> bytes | StoreProblem:
        """Read the header and up to *max_body* octets of the body, or its `WHOLE_BODY`."""
        try:
            file = self.open()
        except (OSError, KeyError) as error:
            return StoreProblem(self.name, ProblemKind.UNREADABLE, _reason(error))
        try:
            header = _read_header(file)
            if len(header) > MAX_HEADER:
                return StoreProblem(
                    self.name, ProblemKind.BROKEN, f"a header over {MAX_HEADER} octets"
                )
            return header + (file.read(max_body) if max_body else b"")
        except OSError as error:
            return StoreProblem(self.name, ProblemKind.UNREADABLE, _reason(error))
        finally:
            file.close()


def find_messages(path: Path, depth: int = 0) -> Iterator[StoredMessage | StoreProblem]:
    """Find the messages in the mbox, Maildir, file or directory *path*, in the order of names.

    Directories are searched recursively, without following symbolic links to directories. Read
    each message before the next one is found: an mbox is closed after its last message.
    """
    try:
        if depth > MAX_DEPTH:
            yield _too_deep(path)
        elif path.is_dir():
            found = _maildir if _is_maildir(path) else _directory
            yield from found(path, depth + 1)
        elif path.is_file():
            yield from _file(path)
        elif not path.exists():
            yield StoreProblem(str(path), ProblemKind.UNREADABLE, "No such file or directory")
    except OSError as error:
        yield StoreProblem(str(path), ProblemKind.UNREADABLE, _reason(error))


def _directory(path: Path, depth: int) -> Iterator[StoredMessage | StoreProblem]:
    for name in sorted(os.listdir(path)):
        entry = path / name
        if not (entry.is_symlink() and entry.is_dir()):
            yield from find_messages(entry, depth)


def _is_maildir(path: Path) -> bool:
    return (path / "cur").is_dir() and (path / "new").is_dir()


def _maildir(path: Path, depth: int) -> Iterator[StoredMessage | StoreProblem]:
    folder = mailbox.Maildir(path, create=False)
    for key in sorted(folder.keys()):
        yield StoredMessage(f"{path}/{key}", lambda key=key: folder.get_file(key))  # type: ignore[misc]
    yield from _folders(path, depth)


def _folders(path: Path, depth: int) -> Iterator[StoredMessage | StoreProblem]:
    """Find the Maildirs below *path*, with a dot or without (LAYOUT=fs of Dovecot), and no files.

    What else lies there, such as indexes and filters, is no mail.
    """
    for name in sorted(os.listdir(path)):
        entry = path / name
        if name in _PARTS or entry.is_symlink() or not entry.is_dir():
            continue
        if depth > MAX_DEPTH:
            yield _too_deep(entry)
            continue
        try:
            found = _maildir if _is_maildir(entry) else _folders
            yield from found(entry, depth + 1)
        except OSError as error:
            yield StoreProblem(str(entry), ProblemKind.UNREADABLE, _reason(error))


def _file(path: Path) -> Iterator[StoredMessage | StoreProblem]:
    with path.open("rb") as file:
        if not is_mbox(file.readline(MAX_HEADER)):
            yield StoredMessage(str(path), lambda: path.open("rb"))
            return
        for number, span in enumerate(find_spans(file), 1):
            name = f"{path}#{number}"
            yield StoredMessage(name, lambda span=span: Part(path, span))  # type: ignore[misc]


def _read_header(file: _File) -> bytes:
    """Read up to the first blank line; more than MAX_HEADER octets if the header is too large."""
    lines: list[bytes] = []
    size = 0
    while size <= MAX_HEADER and (line := file.readline(MAX_HEADER)):
        lines.append(line)
        size += len(line)
        if not line.strip(b"\r\n"):
            break
    return b"".join(lines)


def _too_deep(path: Path) -> StoreProblem:
    text = f"it is more than {MAX_DEPTH} directories deep"
    return StoreProblem(str(path), ProblemKind.UNREADABLE, text)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is no longer there"
