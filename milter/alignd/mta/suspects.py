"""What workers were judging when they died, in memory that all of them share.

A message that kills the worker that judges it, whatever the bug, is tried again by its sender, and
would kill the next one. So a worker notes what it is about to judge, and takes the note back. What
is still noted when a worker has died is suspect: for a while it is rewritten unjudged.

One death is enough. Those that were only waiting for DNS beside the culprit are rewritten
needlessly, once or twice each; to ask for a second death would cost every session of one more
worker, for each message that kills.
"""

from __future__ import annotations

import mmap
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

SUSPECT_SECONDS = 900.0
"""How long: Postfix tries a deferred message again after five to ten minutes
(minimal_backoff_time, queue_run_delay), and then it arrives."""
_AT_ONCE = 256  # judgements of a worker that are noted; of more, the others are not
_MOST = 1024  # suspects; the oldest make room
_OCTETS = 8  # of a number: aligned, so written and read in one step and never seen half written
_NOBODY = 0


class Suspects:
    """The notes of all workers and the suspects; made by the supervisor before it forks any."""

    def __init__(self, workers: int) -> None:
        cells = 1 + 2 * _MOST + workers * _AT_ONCE
        memory = memoryview(mmap.mmap(-1, cells * _OCTETS)).cast("q")
        # How many there have been; each in a pair of cells, with the second when it ends.
        self._count = memory[:1]
        self._suspects = memory[1 : 1 + 2 * _MOST]
        self._notes = memory[1 + 2 * _MOST :]

    def of_worker(self, number: int) -> JudgementNotes:
        """The notes of worker *number*, from 0; its replacement takes them over."""
        notes = self._notes[number * _AT_ONCE : (number + 1) * _AT_ONCE]
        return JudgementNotes(notes, self._count, self._suspects)

    def worker_ended(self, number: int, *, has_failed: bool) -> int:
        """Suspect what worker *number* was judging, if it *has_failed*; how many that are."""
        notes = self._notes[number * _AT_ONCE : (number + 1) * _AT_ONCE]
        found = {note for note in notes if note != _NOBODY} if has_failed else set()
        until = int(time.monotonic() + SUSPECT_SECONDS)
        for fingerprint in found:
            place = 2 * (self._count[0] % _MOST)
            self._suspects[place], self._suspects[place + 1] = fingerprint, until
            self._count[0] += 1
        for place in range(_AT_ONCE):
            notes[place] = _NOBODY
        return len(found)


class JudgementNotes:
    """What one worker is judging, and what it had better not; safe for its threads."""

    def __init__(
        self, notes: memoryview[int], count: memoryview[int], suspects: memoryview[int]
    ) -> None:
        self._notes = notes
        self._count = count
        self._suspects = suspects
        self._free = deque(range(len(notes)))  # its ends are moved in one step

    def suspect_seconds(self, fingerprint: int) -> float:
        """How long *fingerprint* is still suspect; 0 when it is not."""
        if not self._count[0]:
            return 0.0
        cells = self._suspects.tolist()
        untils = (
            until
            for suspect, until in zip(cells[::2], cells[1::2], strict=True)
            if suspect == fingerprint
        )
        return max(0.0, max(untils, default=0) - time.monotonic())

    @contextmanager
    def judging(self, fingerprint: int) -> Iterator[None]:
        """Note *fingerprint* meanwhile."""
        try:
            place = self._free.pop()
        except IndexError:  # too many at once
            yield
            return
        self._notes[place] = fingerprint
        try:
            yield
        finally:
            self._notes[place] = _NOBODY
            self._free.append(place)
