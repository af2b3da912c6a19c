"""Reads a log file as `tail -F` does, and goes on where it was.

A log is rotated in two ways: the file is renamed and a new one made, or it is copied and cut
short in place. After both, what was not read yet is read from the file with a number in its name.
What is written between the copy and the cut is in neither, and lost to every reader.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAX_LINE = 65_536
"""Octets of a line; the rest of a longer one is skipped."""
LOOK_BACK = 64 * 1024 * 1024
"""Octets before the position that are read for what was decided."""
_CHUNK = 262_144
_TAIL = 256
"""Octets before a position by which a file is known: an inode is soon used again."""
_ATTEMPTS = 5
# What logrotate makes, with and without dateext; compressed files are left out.
_ROTATED = re.compile(r"[.-][0-9][0-9-]*")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log, behind a whole line."""

    inode: int
    offset: int
    checksum: int
    """Of the octets before the offset."""


class FollowedFile:
    """The lines of the file at a path, whatever file that is.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self._path = path
        self._files = self._first(position)
        """Oldest first; what is rotated stays until it is read and the writer has left it."""
        self._start = self._files[0].offset

    def read(self) -> list[bytes]:
        """The next lines, without their ends; none if there is none yet."""
        self._look_for_successor()
        while True:
            oldest = self._files[0]
            # In this order: what is in the next file was written after the last of this one.
            is_left = len(self._files) > 1 and self._files[1].size > 0
            if len(self._files) == 1 and oldest.was_cut():
                self._begin_again(oldest)
                continue
            if lines := oldest.lines():
                return lines
            if oldest.has_more():
                continue
            if not is_left:
                # Its successor is empty: the writer may still be with it.
                return []
            last = oldest.last_line()
            oldest.close()
            self._files.popleft()
            if last:
                return last

    def earlier(self) -> Iterator[bytes]:
        """The lines before the place where reading began, as far as LOOK_BACK goes."""
        oldest, budget = self._files[0], LOOK_BACK
        before = [
            (path, found)
            for path, found in self._rotated()
            if found.st_ino != oldest.inode and found.st_mtime_ns <= oldest.modified
        ]
        if before and self._start < budget:
            with suppress(OSError):
                file = _File(_opened(before[-1][0]))
                try:
                    yield from file.part(file.size, budget - self._start)
                finally:
                    file.close()
        yield from oldest.part(self._start, budget)

    def position(self) -> Position:
        """The place behind the last line that was returned."""
        return self._files[0].position()

    def close(self) -> None:
        for each in self._files:
            each.close()

    def _first(self, position: Position | None) -> deque[_File]:
        """What is there to read, from *position* on if that is still somewhere."""
        try:
            current = _File(_opened(self._path))
        except FileNotFoundError:
            # Perhaps it is being rotated just now.
            older = self._rotated_at(position, None) if position else None
            if older is None:
                raise
            return deque([older])
        if position is None:
            return deque([current])
        if current.inode == position.inode and current.is_at(position):
            current.go_to(position.offset)
            return deque([current])
        older = self._rotated_at(position, current)
        if older is None:
            return deque([current])
        return deque([older, *self._between(older, current, {older.inode}), current])

    def _rotated_at(self, position: Position, current: _File | None) -> _File | None:
        """The file that has the place now: a renamed one, or a copy, with an inode of its own."""
        found = self._rotated()
        found.sort(key=lambda each: each[1].st_ino == position.inode, reverse=True)
        for path, status in found:
            if current is not None and status.st_ino == current.inode:
                continue
            with suppress(OSError):
                file = _File(_opened(path))
                is_known = position.offset or status.st_ino == position.inode
                if is_known and file.is_at(position):
                    file.go_to(position.offset)
                    return file
                file.close()
        return None

    def _look_for_successor(self) -> None:
        newest = self._files[-1]
        try:
            if os.stat(self._path).st_ino == newest.inode:
                return
            successor = _File(_opened(self._path))
        except OSError:  # between the two steps of a rotation, or gone
            return
        if successor.inode == newest.inode:
            successor.close()
            return
        known = {each.inode for each in self._files}
        self._files += [*self._between(newest, successor, known), successor]

    def _between(self, older: _File, newer: _File, known: set[int]) -> list[_File]:
        """The files that were rotated after *older* and before *newer* while nobody looked."""
        for _ in range(_ATTEMPTS):
            found = self._names_between(older, newer, known)
            files: list[_File] = []
            with suppress(OSError):
                files += (_File(_opened(path)) for path, _inode in found)
            if [each.inode for each in files] == [inode for _path, inode in found]:
                return files
            for each in files:  # they got other names meanwhile
                each.close()
        return []

    def _names_between(
        self, older: _File, newer: _File, known: set[int]
    ) -> list[tuple[Path, int]]:
        found: list[tuple[Path, int]] = []
        for path, status in self._rotated():
            if status.st_ino == newer.inode:  # by now it is rotated, too
                break
            if status.st_ino == older.inode:
                found = []
            elif status.st_ino not in known and status.st_mtime_ns >= older.modified:
                found.append((path, status.st_ino))
        return found

    def _begin_again(self, cut: _File) -> None:
        """Read a file that was cut short from its beginning, after the rest of its copy."""
        copy = self._rotated_at(cut.position(), cut)
        cut.go_to(0)
        if copy is not None:
            self._files.appendleft(copy)

    def _rotated(self) -> list[tuple[Path, os.stat_result]]:
        """The files that this one became, last written last."""
        found, name = [], self._path.name
        with suppress(OSError):
            for entry in os.scandir(self._path.parent):
                rest = entry.name.removeprefix(name)
                if rest != entry.name and _ROTATED.fullmatch(rest):
                    with suppress(OSError):  # renamed meanwhile
                        found.append((Path(entry.path), entry.stat()))
        return sorted(found, key=_age)


class _File:
    """One file that is read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.inode = os.fstat(descriptor).st_ino
        self.offset = 0
        """Behind the last line that was returned."""
        self._rest = b""
        self._is_skipping = False
        self._tail = b""

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    @property
    def modified(self) -> int:
        return os.fstat(self._descriptor).st_mtime_ns

    def position(self) -> Position:
        return Position(self.inode, self.offset, zlib.crc32(self._tail))

    def is_at(self, position: Position) -> bool:
        """Whether it has the same before that place."""
        before = self._before(position.offset)
        is_there = len(before) == min(position.offset, _TAIL)
        return is_there and zlib.crc32(before) == position.checksum

    def go_to(self, offset: int) -> None:
        self.offset, self._rest, self._is_skipping = offset, b"", False
        self._tail = self._before(offset)

    def was_cut(self) -> bool:
        """Whether what was read is there no more."""
        is_short = self.size < self.offset + len(self._rest)
        return is_short or self._before(self.offset) != self._tail

    def has_more(self) -> bool:
        return self.size > self.offset + len(self._rest)

    def lines(self) -> list[bytes]:
        """The lines that end in the next piece."""
        data = os.pread(self._descriptor, _CHUNK, self.offset + len(self._rest))
        *whole, rest = (self._rest + data).split(b"\n")
        lines = [line[:MAX_LINE] for line in whole]
        if whole and self._is_skipping:
            del lines[0]
            self._is_skipping = False
        self.offset += sum(map(len, whole)) + len(whole)
        if len(rest) > MAX_LINE:
            if not self._is_skipping:
                lines.append(rest[:MAX_LINE])
            self._is_skipping = True
            self.offset += len(rest)
            rest = b""
        self._rest = rest
        if data:
            self._tail = self._before(self.offset)
        return lines

    def last_line(self) -> list[bytes]:
        """What has no line end, where nothing more will come."""
        last = [] if self._is_skipping or not self._rest else [self._rest]
        self.go_to(self.offset + len(self._rest))
        return last

    def part(self, end: int, budget: int) -> Iterator[bytes]:
        """The whole lines in the *budget* of octets before *end*."""
        start, rest = max(0, end - budget), b""
        is_first = start > 0
        while start < end:
            data = os.pread(self._descriptor, min(_CHUNK, end - start), start)
            if not data:
                return
            start += len(data)
            *whole, rest = (rest + data).split(b"\n")
            if whole and is_first:
                is_first = False
                del whole[0]
            yield from (line[:MAX_LINE] for line in whole)
            rest = rest[:MAX_LINE]

    def close(self) -> None:
        os.close(self._descriptor)

    def _before(self, offset: int) -> bytes:
        start = max(0, offset - _TAIL)
        return os.pread(self._descriptor, offset - start, start)


def _age(rotated: tuple[Path, os.stat_result]) -> tuple[int, int]:
    """What sorts them: the kernel's clock is coarse, and of equal times the names decide."""
    path, status = rotated
    number = path.name.rpartition(".")[2]
    return status.st_mtime_ns, -int(number) if number.isdecimal() else 0


def _opened(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file", str(path))
    return descriptor
