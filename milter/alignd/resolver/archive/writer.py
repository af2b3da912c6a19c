"""Keeps the file of the archive up with the memory, in a thread that alone touches the disk.

The memory is the truth. Whatever happens to the file costs no answer in it: the file is opened
again after a pause, or put aside and made anew, and then gets what it has not.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alignd.resolver.archive.file import (
    ArchiveFile,
    BrokenFileError,
    UnusableFileError,
    put_aside,
)
from alignd.resolver.archive.memory import ArchiveMemory, Moment

STALL_SECONDS = 10.0
"""A disk that has not done something for so long stalls."""
STEADY_SECONDS = 3600.0
"""How long the wall clock has to run with the monotonic one until anything is deleted by date."""
_BATCH_SECONDS = 2.0
_BATCH_OCTETS = 2**20
_FORGET_SECONDS = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds between two attempts to open the file
_STEP_SECONDS = 1.0  # between two looks, a wall clock that is adjusted moves by milliseconds


class SteadyClock:
    """Finds out for how long the wall clock was not set."""

    def __init__(self, now: Moment) -> None:
        self._seen = self._set = now

    def look(self, now: Moment) -> float:
        """The seconds since the wall clock was set last, as far as these looks tell."""
        before, self._seen = self._seen, now
        moved = (now.wall - before.wall) - (now.monotonic - before.monotonic)
        if abs(moved) > _STEP_SECONDS:
            self._set = now
        return now.monotonic - self._set.monotonic


class ArchiveWriter:
    """Reads the file into the memory, and writes what is new there."""

    def __init__(
        self,
        path: Path,
        keep_seconds: float,
        memory: ArchiveMemory,
        report: Callable[[str], None],
        failed: Callable[[Exception], None],
        clock: Callable[[], Moment] = Moment.now,
    ) -> None:
        """*report* is called when a file is put aside or deleted, *failed* with what is a bug."""
        self._path = path
        self._keep_seconds = keep_seconds
        self._memory = memory
        self._report = report
        self._failed = failed
        self._clock = clock
        self._steady = SteadyClock(clock())
        self._next_forget = 0.0
        self._pause = _FIRST_PAUSE
        self._opened = 0.0
        self._ended = threading.Event()
        self._problem = ""
        self._step_began: float | None = None
        self.has_read = False
        """Whether all of the file has been read, or there was none."""

    def problem(self) -> str:
        """Why answers are not written; empty when they are."""
        began = self._step_began
        if began is not None and self._clock().monotonic - began > STALL_SECONDS:
            return "the disk does not respond"
        return self._problem

    def run(self) -> None:
        """Read and write until the end, and write what waits then."""
        is_last = False
        while not is_last:
            # What has failed is tried once more at the end.
            is_last = self._ended.is_set()
            self._problem = self._try_to_write()
            if not self._problem:
                is_last = self._ended.is_set()
            elif not is_last:
                self._ended.wait(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def end(self) -> None:
        """Write what waits, and nothing more."""
        self._ended.set()

    def _try_to_write(self) -> str:
        """Work on one file until it is the end, or not in its place any more; what went wrong."""
        try:
            self._open_and_write()
        except BrokenFileError as error:
            return self._replace(error)
        except (UnusableFileError, sqlite3.Error, OSError) as error:
            return str(error)
        except Exception as error:  # a bug; the thread has to outlive it
            self._failed(error)
            return type(error).__name__
        return ""

    def _open_and_write(self) -> None:
        self._memory.begin_reading()
        with self._step():
            file = ArchiveFile(self._path)
        if file.has_deleted_first_version:
            self._report(
                "DNS archive of an earlier version was deleted: it may have had local parts of "
                "addresses"
            )
        with closing(file):
            self._read(file)
            self._opened = self._clock().monotonic
            while self._write(file) and not self._ended.is_set():
                self._ended.wait(_BATCH_SECONDS)

    def _read(self, file: ArchiveFile) -> None:
        chunks = file.rows()
        while not self._ended.is_set():
            with self._step():
                rows = next(chunks, [])
            if not rows or not self._memory.add_read(rows, self._clock()):
                break
        self.has_read = True

    def _write(self, file: ArchiveFile) -> bool:
        """Write what waits; whether the file is still in its place."""
        with self._step():
            if not file.is_in_place():
                return False
        while rows := self._memory.take_unwritten(_BATCH_OCTETS):
            with self._step():
                file.write(rows)
        self._forget(file)
        self._problem = ""
        if self._clock().monotonic - self._opened > _LONGEST_PAUSE:
            # Not before: what fails soon after each opening must not keep the machine busy.
            self._pause = _FIRST_PAUSE
        return True

    def _forget(self, file: ArchiveFile) -> None:
        """Delete what is too old, unless the wall clock may be wrong: then it may come back."""
        now = self._clock()
        steady = self._steady.look(now)
        if steady < STEADY_SECONDS or now.monotonic < self._next_forget:
            return
        self._next_forget = now.monotonic + _FORGET_SECONDS
        self._memory.forget_old(now)
        with self._step():
            file.forget(now.wall - self._keep_seconds, now.wall)

    def _replace(self, error: BrokenFileError) -> str:
        try:
            with self._step():
                aside = put_aside(self._path)
        except OSError as obstacle:
            return f"{error}, and {obstacle}"
        self._report(f"DNS archive is broken and was put aside as {aside}: {error}")
        return str(error)

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Something that waits for the disk."""
        self._step_began = self._clock().monotonic
        try:
            yield
        finally:
            self._step_began = None
