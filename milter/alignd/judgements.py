"""Remembers judgements for as long as the DNS answers that they were made of hold.

To judge a message of a known author from memory costs a fraction of judging it anew, and most
mail of a helpdesk is from a few authors. What differs from message to message, the queue id and
the fields to be removed, is no part of a judgement.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Protocol

from alignd.lookup import Lookup
from alignd.message import Message
from alignd.review import Judgement, Review, Reviewer, carry_out

MAX_JUDGEMENTS = 20_000
"""Judgements that are kept; the least used go first."""


class DatedLookup(Lookup, Protocol):
    """A Lookup that knows how long its answers hold."""

    good_until: float
    """Unix time, for all the answers so far; in the past when one was of last resort."""


class _Place:
    """Where one judgement is kept, and until when (Unix time)."""

    __slots__ = ("kept",)

    def __init__(self, _key: Hashable) -> None:
        self.kept: tuple[Judgement, float] | None = None


class RememberingReviewer:
    """Reviews like its *reviewer*, and judges what it knows from memory; safe for threads."""

    def __init__(self, reviewer: Reviewer) -> None:
        self._reviewer = reviewer
        self._judged_fields = reviewer.judged_fields
        self._place = lru_cache(MAX_JUDGEMENTS)(_Place)

    def review(self, message: Message, lookup: DatedLookup) -> Review:
        """Judge *message*, from memory where that is as good."""
        if self._reviewer.needs_whole_message:
            return self._reviewer.review(message, lookup)
        place = self._place(self._key(message))
        if place.kept is None or place.kept[1] <= self._reviewer.now():
            # In one step: another thread may read it at any time.
            place.kept = self._reviewer.judge(message, lookup), lookup.good_until
        return carry_out(message, place.kept[0])

    def rewrite_unjudged(self, message: Message) -> Review:
        """Rewrite *message* without judging it, where judging it has failed: it will arrive."""
        return self._reviewer.rewrite_unjudged(message)

    def _key(self, message: Message) -> Hashable:
        """All that a judgement depends on, but DNS and the configuration."""
        fields = tuple(
            [
                (name, field.value)
                for field in message.header
                if (name := field.name.lower()) in self._judged_fields
            ]
        )
        return (
            fields,
            message.envelope_sender,
            message.client,
            bool(message.login),
            _domains_in(fields, message.recipients),
        )


def _domains_in(
    fields: tuple[tuple[str, bytes], ...], recipients: tuple[str, ...]
) -> tuple[str, ...]:
    """The domains of *recipients* that *fields* name: one may be the author domain.

    Any of them may be, where a U-label could be spelled as an A-label.
    """
    text = b"\n".join([value for _name, value in fields]).lower()
    domains = {recipient.rpartition("@")[2].rstrip(".").lower() for recipient in recipients}
    anything = not text.isascii()
    return tuple(sorted(domain for domain in domains if anything or domain.encode() in text))
