"""Reads the messages of mboxes, Maildirs and files, one at a time.

Nothing is locked, moved or written: the mailbox module only lists names and opens messages.
"""

from __future__ import annotations

import mailbox
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

MAX_HEADER = 16_000_000
"""Octets of a header; what has more is not a message."""


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


def find_messages(path: Path) -> Iterator[StoredMessage | StoreProblem]:
    """Find the messages in the mbox, Maildir, file or directory *path*, in the order of names.

    Directories are searched recursively, without following symbolic links to directories. Read
    each message before the next one is found: an mbox is closed after its last message.
    """
    try:
        if path.is_dir():
            yield from _maildir(path) if _is_maildir(path) else _directory(path)
        elif path.is_file():
            yield from _file(path)
        elif not path.exists():
            yield StoreProblem(str(path), ProblemKind.UNREADABLE, "No such file or directory")
    except OSError as error:
        yield StoreProblem(str(path), ProblemKind.UNREADABLE, _reason(error))


def _directory(path: Path) -> Iterator[StoredMessage | StoreProblem]:
    for name in sorted(os.listdir(path)):
        entry = path / name
        if not (entry.is_symlink() and entry.is_dir()):
            yield from find_messages(entry)


def _is_maildir(path: Path) -> bool:
    return (path / "cur").is_dir() and (path / "new").is_dir()


def _maildir(path: Path) -> Iterator[StoredMessage | StoreProblem]:
    yield from _folder(mailbox.Maildir(path, create=False), path)


def _folder(folder: mailbox.Maildir, path: Path) -> Iterator[StoredMessage | StoreProblem]:
    for key in sorted(folder.keys()):
        yield StoredMessage(f"{path}/{key}", lambda key=key: folder.get_file(key))  # type: ignore[misc]
    for name in sorted(folder.list_folders()):
        yield from _folder(folder.get_folder(name), path / f".{name}")


def _file(path: Path) -> Iterator[StoredMessage | StoreProblem]:
    with path.open("rb") as file:
        is_mbox = file.read(5) == b"From "
    if not is_mbox:
        yield StoredMessage(str(path), lambda: path.open("rb"))
        return
    box = mailbox.mbox(path, create=False)
    try:
        for number, key in enumerate(box.keys(), 1):
            name = f"{path}#{number}"
            yield StoredMessage(name, lambda key=key: box.get_file(key))  # type: ignore[misc]
    finally:
        box.close()  # closing writes only changes, and there are none


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


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is no longer there"
