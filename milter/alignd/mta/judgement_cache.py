"""Remembers judgements for as long as the DNS answers that they were made of hold.

To judge a message of a known author from memory costs a fraction of judging it anew, and most
mail of a helpdesk is from a few authors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from alignd.judgement.review import Judgement, Reviewer, plan_edits
from alignd.mail.message import Edits
from alignd.mailauth.dns import Lookup
from alignd.mta.transaction import Collected

Note = TypeVar("Note")

MAX_JUDGEMENTS = 20_000
"""Judgements that are kept; the least used go first."""


class DatedLookup(Lookup, Protocol):
    """A Lookup that knows how long its answers hold."""

    good_until: float
    """Unix time, for all the answers so far; in the past when one was of last resort."""


@dataclass(frozen=True, slots=True)
class Precedent(Generic[Note]):
    """All that is the same for messages that are judged alike."""

    judgement: Judgement
    planned: Edits
    """What changes, but for the trace field."""
    note: Note
    good_until: float
    """Unix time."""


class _Place(Generic[Note]):
    """Where one precedent is kept."""

    __slots__ = ("kept",)

    def __init__(self, _key: Hashable) -> None:
        self.kept: Precedent[Note] | None = None


class RememberingReviewer(Generic[Note]):
    """Judges like its *reviewer*, and from memory what it knows; safe for threads."""

    def __init__(self, reviewer: Reviewer, note: Callable[[Judgement], Note]) -> None:
        """*note* makes of a judgement what else is to be remembered with it."""
        self._reviewer = reviewer
        self._note = note
        self._remembers = not reviewer.needs_whole_message
        self._now = reviewer.now
        self._place = lru_cache(MAX_JUDGEMENTS)(_Place[Note])

    def judge(
        self, collected: Collected, new_lookup: Callable[[], DatedLookup]
    ) -> Precedent[Note]:
        """Judge a message, from memory where that is as good."""
        # Memory is not for those who would fill it.
        if not self._remembers or not collected.is_ordinary:
            return self._judge(collected, new_lookup())
        place = self._place(collected.key)
        kept = place.kept
        if kept is None or kept.good_until <= self._now():
            # In one step: another thread may read it at any time.
            kept = place.kept = self._judge(collected, new_lookup())
        return kept

    def rewrite_unjudged(self, collected: Collected) -> Precedent[Note]:
        """Have a message rewritten, where judging it has failed: it will arrive."""
        message = collected.message()
        judgement = self._reviewer.rewrite_unjudged(message)
        return Precedent(judgement, plan_edits(message, judgement), self._note(judgement), 0.0)

    def _judge(self, collected: Collected, lookup: DatedLookup) -> Precedent[Note]:
        message = collected.message()
        judgement = self._reviewer.judge(message, lookup)
        planned = plan_edits(message, judgement)
        return Precedent(judgement, planned, self._note(judgement), lookup.good_until)
