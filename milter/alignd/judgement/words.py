"""Every word of the log, for those who explain them."""

from __future__ import annotations

from alignd.judgement.reasons import Action, Failure, Limit, Reason, Refusal, Word
from alignd.judgement.return_reasons import ReturnReason

WORDS: tuple[Word, ...] = (*Action, *Failure, *Reason, *ReturnReason, *Limit, *Refusal)
"""Every word of the log, in the order of its key, and reasons in the order of the rules."""


def find(word: str) -> Word | None:
    """The word that is spelled so; None when there is none."""
    return next((each for each in WORDS if each.value == word), None)
