"""Reads a log as entries, and keeps the place: a file, or the journal.

For each entry of `read` comes `Join.take`; then `mark`, and `state.save` when it is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from alignd.feedback.entry import Entry, read_journal, read_line
from alignd.feedback.file import FollowedFile
from alignd.feedback.journal import FollowedJournal
from alignd.feedback.state import State

_BEFORE = 6 * 3600.0
"""Seconds of the journal before the place that are read for what was decided."""


class Source(Protocol):
    """A log that is read."""

    def earlier(self) -> Iterator[Entry]:
        """Entries before the place where reading begins: what `Join` has to know."""
        ...

    def read(self, seconds: float) -> list[Entry] | None:
        """The next entries, after at most so many *seconds*; None at the end, if not followed."""
        ...

    def mark(self) -> None:
        """Put the place behind all entries that were read into the state."""

    def close(self) -> None: ...


class FileSource:
    """A file, by its path.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(
        self, path: Path, state: State, now: Callable[[], datetime], *, follow: bool
    ) -> None:
        self._file = FollowedFile(path, state.position)
        self._state = state
        self._last = state.last
        self._now = now
        self._is_followed = follow

    def earlier(self) -> Iterator[Entry]:
        now = self._now()
        entries = (read_line(_text(line), now) for line in self._file.earlier())
        return (entry for entry in entries if entry is not None)

    def read(self, seconds: float) -> list[Entry] | None:
        lines = self._file.read()
        if not lines:
            if not self._is_followed:
                return None
            time.sleep(seconds)
            return []
        now = self._now()
        read = (read_line(_text(line), now) for line in lines)
        entries = [entry for entry in read if entry is not None]
        if entries:
            self._last = entries[-1].when or now.timestamp()
        return entries

    def mark(self) -> None:
        self._state.position, self._state.last = self._file.position(), self._last

    def close(self) -> None:
        self._file.close()


class JournalSource:
    """The journal of systemd.

    Raises:
        OSError: there is no journalctl.
    """

    def __init__(self, state: State, since: float | None, *, follow: bool) -> None:
        self._state = state
        self._cursor = state.cursor
        self._last = state.last
        self._since = since
        self._journal = FollowedJournal(lambda: self._cursor, follow=follow, since=since)

    @property
    def exit_status(self) -> int | None:
        """That of journalctl, when it has ended."""
        return self._journal.exit_status

    @property
    def ends(self) -> int:
        """How often a journalctl has ended."""
        return self._journal.ends

    def earlier(self) -> Iterator[Entry]:
        last = self._last if self._cursor else self._since
        if last is None:
            return
        before = FollowedJournal(lambda: "", follow=False, since=last - _BEFORE)
        try:
            while (lines := before.read(1.0)) is not None:
                for line in lines:
                    entry, _cursor = read_journal(_text(line))
                    if entry is None:
                        continue
                    if entry.when is not None and entry.when > last:
                        return
                    yield entry
        finally:
            before.close()

    def read(self, seconds: float) -> list[Entry] | None:
        lines = self._journal.read(seconds)
        if lines is None:
            return None
        entries = []
        for line in lines:
            entry, cursor = read_journal(_text(line))
            self._cursor = cursor or self._cursor
            if entry is not None:
                self._last = entry.when or self._last
                entries.append(entry)
        return entries

    def mark(self) -> None:
        self._state.cursor, self._state.last = self._cursor, self._last

    def close(self) -> None:
        self._journal.close()


def open_source(
    log: Path | None,
    state: State,
    since: float | None,
    now: Callable[[], datetime],
    *,
    follow: bool,
) -> Source:
    """The file *log*, or without one the journal; from the place in *state* on, if it has one.

    Raises:
        OSError: it cannot be read.
    """
    if log is None:
        return JournalSource(state, since, follow=follow)
    return FileSource(log, state, now, follow=follow)


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
