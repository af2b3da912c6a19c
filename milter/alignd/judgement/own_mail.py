"""Predicts what receivers say of rewritten mail, which is from a domain of ours.

That is the same for nearly all rewrites, and would cost as much again as to judge the author. So
it is remembered with the answers of DNS that it was made of. They are looked up each time all the
same, which costs little: what is remembered holds while they are the same, and the judgement
knows until when it does.

It is remembered by the domain of the envelope sender, as each author may have a local part of his
own there. SPF sees the local part where a macro asks for it (RFC 7208, section 7.2); then it is
remembered for that sender alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache

from alignd.config.settings import Relay
from alignd.judgement.prediction import Prediction, predict
from alignd.mail.domain import Domain
from alignd.mailauth.dkim import PlannedSignature, check_planned
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.spf import SpfEvaluator

_MAX_KEPT = 256  # settings, senders' domains and signatures: a few for each tenant

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

    __slots__ = ("is_by_sender", "kept")

    def __init__(self, _key: Hashable) -> None:
        self.kept: _Kept | None = None
        self.is_by_sender = False
        """Whether each sender of the domain has a slot of his own."""


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
    """Predicts for domains of ours; safe for threads."""

    def __init__(self, suffixes: PublicSuffixes) -> None:
        self._suffixes = suffixes
        # A bounded dictionary that is safe for threads.
        self._slot = lru_cache(_MAX_KEPT)(_Slot)

    def predict(
        self,
        ours: Domain,
        relay: Relay,
        envelope_sender: str,
        signatures: tuple[PlannedSignature, ...],
        lookup: Lookup,
    ) -> Prediction:
        """Predict for mail from the domain *ours* with this envelope sender.

        *signatures* are those that the signer behind alignd will add to it.
        """
        _, _, sender_domain = envelope_sender.rpartition("@")
        is_null = not envelope_sender
        world = (ours, relay.hostname, relay.addresses, signatures, is_null, sender_domain)
        shared = self._slot(world)
        slot = self._slot((*world, envelope_sender)) if shared.is_by_sender else shared
        kept = slot.kept
        if kept is not None and kept.holds(lookup):
            return kept.prediction
        noting = _Noting(lookup)
        evaluator = SpfEvaluator(noting)
        dkim = tuple(check_planned(each, noting) for each in signatures)
        prediction = predict(ours, envelope_sender, relay, noting, self._suffixes, dkim, evaluator)
        shared.is_by_sender = evaluator.saw_local_part
        slot = self._slot((*world, envelope_sender)) if evaluator.saw_local_part else shared
        answers = tuple(noting.answers.items())
        # In one step: another thread may read it at any time.
        slot.kept = _Kept(prediction, answers) if noting.is_steady else None
        return prediction
