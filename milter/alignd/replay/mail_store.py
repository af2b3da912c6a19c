"""Messages as they lie on disk, in mboxes, Maildirs and files; read only, one at a time.

The mailbox module is asked for names and contents alone: nothing is locked, moved or written.
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
"""Octets of a header that are read; what has more is no message."""


class Trouble(Enum):
    """Why something of a corpus counts for nothing."""

    UNREADABLE = "unreadable"
    BROKEN = "broken"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of a corpus that is no message, or could not be read or judged."""

    name: str
    trouble: Trouble
    text: str


class _File(Protocol):
    def read(self, size: int = ...) -> bytes: ...
    def readline(self, size: int = ...) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """One message of a corpus."""

    name: str
    """Where it is: a path, with the number in an mbox."""
    open: Callable[[], _File]

    def read(self, max_body: int) -> bytes | Problem:
        """The header, with *max_body* octets of the body at the most."""
        try:
            file = self.open()
        except (OSError, KeyError) as error:
            return Problem(self.name, Trouble.UNREADABLE, _told(error))
        try:
            header = _read_header(file)
            if len(header) > MAX_HEADER:
                return Problem(self.name, Trouble.BROKEN, f"a header over {MAX_HEADER} octets")
            return header + (file.read(max_body) if max_body else b"")
        except OSError as error:
            return Problem(self.name, Trouble.UNREADABLE, _told(error))
        finally:
            file.close()


def walk(path: Path) -> Iterator[Stored | Problem]:
    """What is in the mbox, Maildir, file or directory *path*, in the order of the names.

    Directories are searched to the bottom, but not through symbolic links to others. Read each
    message before asking for the next: its mbox is closed behind the last one.
    """
    try:
        if path.is_dir():
            yield from _maildir(path) if _is_maildir(path) else _directory(path)
        elif path.is_file():
            yield from _file(path)
        elif not path.exists():
            yield Problem(str(path), Trouble.UNREADABLE, "No such file or directory")
    except OSError as error:
        yield Problem(str(path), Trouble.UNREADABLE, _told(error))


def _directory(path: Path) -> Iterator[Stored | Problem]:
    for name in sorted(os.listdir(path)):
        entry = path / name
        if not (entry.is_symlink() and entry.is_dir()):
            yield from walk(entry)


def _is_maildir(path: Path) -> bool:
    return (path / "cur").is_dir() and (path / "new").is_dir()


def _maildir(path: Path) -> Iterator[Stored | Problem]:
    yield from _folder(mailbox.Maildir(path, create=False), path)


def _folder(folder: mailbox.Maildir, path: Path) -> Iterator[Stored | Problem]:
    for key in sorted(folder.keys()):
        yield Stored(f"{path}/{key}", lambda key=key: folder.get_file(key))  # type: ignore[misc]
    for name in sorted(folder.list_folders()):
        yield from _folder(folder.get_folder(name), path / f".{name}")


def _file(path: Path) -> Iterator[Stored | Problem]:
    with path.open("rb") as file:
        is_mbox = file.read(5) == b"From "
    if not is_mbox:
        yield Stored(str(path), lambda: path.open("rb"))
        return
    box = mailbox.mbox(path, create=False)
    try:
        for number, key in enumerate(box.keys(), 1):
            name = f"{path}#{number}"
            yield Stored(name, lambda key=key: box.get_file(key))  # type: ignore[misc]
    finally:
        box.close()  # which writes nothing, as nothing was changed


def _read_header(file: _File) -> bytes:
    """All up to the first blank line; more than MAX_HEADER octets when it is too large."""
    lines: list[bytes] = []
    size = 0
    while size <= MAX_HEADER and (line := file.readline(MAX_HEADER)):
        lines.append(line)
        size += len(line)
        if not line.strip(b"\r\n"):
            break
    return b"".join(lines)


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is no longer there"
