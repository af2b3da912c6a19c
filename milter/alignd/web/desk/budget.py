"""Bounds what one examination asks of DNS: in questions, in octets, and in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType
from alignd.resolver.cache import Question, octets_of

MAX_OCTETS = 512 * 1024
"""Of all answers: four times what a message may take. What is kept of them is memory of whoever
owns the domain."""
_SPENT = LookupFailed("too many questions")
_TOO_MUCH = LookupFailed("the answers are too large")
_TIMEOUT = LookupFailed("timeout")


class Budget:
    """What is left of the questions, octets and seconds of one examination."""

    def __init__(
        self, questions: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._questions = questions
        self._octets = MAX_OCTETS
        self._clock = clock
        self._deadline = clock() + seconds

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._deadline - self._clock())

    def asked(self) -> None:
        """Take note of a question."""
        self._questions -= 1

    def answered(self, octets: int) -> None:
        self._octets -= octets

    @property
    def obstacle(self) -> LookupFailed | None:
        """Why nothing more may be asked; None where something may."""
        if not self.seconds_left:
            return _TIMEOUT
        if self._octets < 0:
            return _TOO_MUCH
        return _SPENT if self._questions <= 0 else None


class BoundedLookup:
    """A Lookup for one examination, which asks nothing more once its budget is spent."""

    def __init__(self, lookup: Lookup, budget: Budget, *, notes_questions: bool = False) -> None:
        """A *lookup* that *notes_questions* itself takes several for each that it is asked."""
        self._lookup = lookup
        self._budget = budget
        self._counts = not notes_questions
        self._known: dict[Question, Answer | LookupFailed] = {}

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        question: Question = (name.lower(), record_type)
        if (known := self._known.get(question)) is not None:
            return known
        return self._ask(question, is_private=is_private)

    def _ask(self, question: Question, *, is_private: bool) -> Answer | LookupFailed:
        answer: Answer | LookupFailed | None = self._budget.obstacle
        if answer is None:
            if self._counts:
                self._budget.asked()
            answer = self._lookup.look_up(*question, is_private=is_private)
        if isinstance(answer, Answer):
            self._budget.answered(octets_of(question, answer))
        self._known[question] = answer
        return answer
