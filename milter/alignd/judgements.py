"""Remembers judgements for as long as the DNS answers that they were made of hold.

To judge a message of a known author from memory costs a fraction of judging it anew, and most
mail of a helpdesk is from a few authors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from alignd.lookup import Lookup
from alignd.message import Edits, Message
from alignd.review import Judgement, Review, Reviewer, plan_edits, sign

Note = TypeVar("Note")

MAX_JUDGEMENTS = 20_000
"""Judgements that are kept; the least used go first."""


_MAX_FIELDS, _MAX_OCTETS = 64, 8_192  # of a header by which a judgement is remembered


class DatedLookup(Lookup, Protocol):
    """A Lookup that knows how long its answers hold."""

    good_until: float
    """Unix time, for all the answers so far; in the past when one was of last resort."""


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Note]):
    """All that is the same for messages that are judged alike."""

    judgement: Judgement
    planned: Edits
    note: Note
    good_until: float
    """Unix time."""


class _Place(Generic[Note]):
    """Where one judgement is kept."""

    __slots__ = ("kept",)

    def __init__(self, _key: Hashable) -> None:
        self.kept: _Kept[Note] | None = None


class RememberingReviewer(Generic[Note]):
    """Reviews like its *reviewer*, and judges what it knows from memory; safe for threads."""

    def __init__(self, reviewer: Reviewer, note: Callable[[Judgement], Note]) -> None:
        """*note* makes of a judgement what else is to be remembered with it."""
        self._reviewer = reviewer
        self._note = note
        self._judged_fields = reviewer.judged_fields
        self._place = lru_cache(MAX_JUDGEMENTS)(_Place[Note])

    def review(
        self, message: Message, new_lookup: Callable[[], DatedLookup]
    ) -> tuple[Review, Note]:
        """Judge *message*, from memory where that is as good."""
        if self._reviewer.needs_whole_message or not _is_worth_keeping(message):
            return self._noted(self._reviewer.review(message, new_lookup()))
        place = self._place(self._key(message))
        kept = place.kept
        if kept is None or kept.good_until <= self._reviewer.now():
            # In one step: another thread may read it at any time.
            kept = place.kept = self._judge(message, new_lookup())
        return sign(message, kept.judgement, kept.planned), kept.note

    def rewrite_unjudged(self, message: Message) -> tuple[Review, Note]:
        """Rewrite *message* without judging it, where judging it has failed: it will arrive."""
        return self._noted(self._reviewer.rewrite_unjudged(message))

    def _noted(self, review: Review) -> tuple[Review, Note]:
        return review, self._note(review.judgement)

    def _judge(self, message: Message, lookup: DatedLookup) -> _Kept[Note]:
        judgement = self._reviewer.judge(message, lookup)
        planned = plan_edits(message, judgement)
        return _Kept(judgement, planned, self._note(judgement), lookup.good_until)

    def _key(self, message: Message) -> Hashable:
        """All that a judgement and its edits depend on, but DNS and the configuration."""
        fields: list[tuple[str, bytes | bool]] = []
        judged = []
        for field in message.header:
            name = field.name.lower()
            if name in self._judged_fields:
                fields.append((name, field.value))
                judged.append(field.value)
            else:
                # That it is there, and whether it names anybody, which matters for Reply-To.
                fields.append((name, b"@" in field.value))
        return (
            tuple(fields),
            message.envelope_sender,
            message.client,
            bool(message.login),
            _domains_in(b"\n".join(judged), message.recipients),
        )


def _is_worth_keeping(message: Message) -> bool:
    """Whether it is like most mail; memory is not for those who would fill it."""
    octets = sum([len(field.value) for field in message.header])
    return len(message.header) <= _MAX_FIELDS and octets <= _MAX_OCTETS


def _domains_in(text: bytes, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """The domains of *recipients* that *text* names: one may be the author domain.

    Any of them may be, where a U-label could be spelled as an A-label.
    """
    text, anything = text.lower(), not text.isascii()
    domains = {recipient.rpartition("@")[2].rstrip(".").lower() for recipient in recipients}
    return tuple(sorted(domain for domain in domains if anything or domain.encode() in text))
