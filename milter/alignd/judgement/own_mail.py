"""Predicts what receivers say of rewritten mail, which is from the notifications domain.

That is the same for nearly all rewrites, and would cost as much again as to judge the author. So
it is remembered with the answers of DNS that it was made of. They are looked up each time all the
same, which costs little: what is remembered holds while they are the same, and the judgement
knows until when it does.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache

from alignd.config.settings import Settings
from alignd.judgement.prediction import Prediction, predict
from alignd.mailauth.dkim import PlannedSignature, check_planned
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType
from alignd.mailauth.rfc7489 import PublicSuffixes

_MAX_KEPT = 256  # settings, senders and signatures: a few for each tenant

_Asked = tuple[str, RecordType, bool]
"""A name, a type, and whether the name is private."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A prediction, and every answer that it was made of, in the order of the questions."""

    prediction: Prediction
    answers: tuple[tuple[_Asked, Answer | LookupFailed], ...]

    def holds(self, lookup: Lookup) -> bool:
        """Whether *lookup* answers the same."""
        return all(
            lookup.look_up(name, kind, is_private=is_private) == answer
            for (name, kind, is_private), answer in self.answers
        )


class _Slot:
    """Where one prediction is kept."""

    __slots__ = ("kept",)

    def __init__(self, _key: Hashable) -> None:
        self.kept: _Kept | None = None


@dataclass(slots=True)
class _Noting:
    """A Lookup that notes what it was asked and answered."""

    lookup: Lookup
    answers: dict[_Asked, Answer | LookupFailed] = field(default_factory=dict)
    is_steady: bool = True
    """Whether the same question was always answered the same."""

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        answer = self.lookup.look_up(name, record_type, is_private=is_private)
        if self.answers.setdefault((name, record_type, is_private), answer) != answer:
            self.is_steady = False
        return answer


class OwnMail:
    """Predicts for the notifications domain; safe for threads."""

    def __init__(self, suffixes: PublicSuffixes) -> None:
        self._suffixes = suffixes
        # A bounded dictionary that is safe for threads.
        self._slot = lru_cache(_MAX_KEPT)(_Slot)

    def predict(
        self,
        settings: Settings,
        envelope_sender: str,
        signatures: tuple[PlannedSignature, ...],
        lookup: Lookup,
    ) -> Prediction:
        """Predict for mail of the notifications address with this envelope sender.

        *signatures* are those that the signer behind alignd will add to it.
        """
        ours, relay = settings.notifications.domain, settings.relay
        slot = self._slot((ours, envelope_sender, relay.hostname, relay.addresses, signatures))
        kept = slot.kept
        if kept is not None and kept.holds(lookup):
            return kept.prediction
        noting = _Noting(lookup)
        dkim = tuple(check_planned(each, noting) for each in signatures)
        prediction = predict(ours, envelope_sender, relay, noting, self._suffixes, dkim)
        answers = tuple(noting.answers.items())
        # In one step: another thread may read it at any time.
        slot.kept = _Kept(prediction, answers) if noting.is_steady else None
        return prediction
