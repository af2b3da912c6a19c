"""Reads a log from where it was: first what has to be known of the time before, then what comes.

Whoever counts, prints or records takes what `Reading.next` returns; then the state has the place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alignd.feedback.disagreement import Disagreement
from alignd.feedback.join import Alert, Join
from alignd.feedback.source import Source
from alignd.feedback.state import State


@dataclass(slots=True)
class Reading:
    """One reading of a source."""

    source: Source
    state: State
    since: float | None
    """Replies before that time are left out; None where all count."""
    join: Join
    now: Callable[[], float]
    """The Unix time."""
    entries: int = 0
    """That said something."""

    @property
    def is_resumed(self) -> bool:
        """Whether something was read before."""
        return self.state.last is not None or bool(self.state.tally.rows())

    def learn(self, is_over: Callable[[], bool]) -> None:
        """Read what was before, to its end or until it *is_over*."""
        was_told = self.is_resumed
        for entry in self.source.earlier():
            self.entries += 1
            if was_told:  # a message that Postfix tries again is not to count again
                self.join.take(entry, self.now())
            else:
                self.join.learn(entry)
            if is_over():
                return

    def next(self, seconds: float) -> list[Disagreement | Alert] | None:
        """What comes next, after at most so many *seconds*; None at the end."""
        entries = self.source.read(seconds)
        if entries is None:
            return None
        self.entries += len(entries)
        if self.since is not None:  # a clock that is set back would leave out all until then
            self.since = min(self.since, self.now())
        found = [each for entry in entries for each in self.join.take(entry, self.now())]
        self.source.mark()
        return [each for each in found if not self._is_old(each)]

    def _is_old(self, each: Disagreement | Alert) -> bool:
        return self.since is not None and each.when is not None and each.when < self.since
