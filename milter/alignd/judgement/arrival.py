"""Judges a message as its receiver: SPF of its client, DKIM signatures, DMARC of its author.

Who relays it has no say here: neither its own SPF nor the signer behind alignd speaks for a
stranger. Where receivers differ, the strictest is followed: a pass that some doubt is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from alignd.judgement.prediction import ModelView, Prediction, assess, spf_passes
from alignd.mail.domain import Domain, DomainError
from alignd.mail.message import Message
from alignd.mailauth.dkim import CheckedSignature, verify_signatures
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dkim_signature import signature_tags, signed_names
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.dns import Lookup
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.spf import Spf, SpfEvaluator, spf_identity
from alignd.mailauth.ternary import Ternary

_ENFORCED = {
    Policy.REJECT: Ternary.YES,
    Policy.QUARANTINE: Ternary.YES,
    Policy.UNKNOWN: Ternary.UNKNOWN,
}
_PASSES = {DkimResult.PASS: Ternary.YES, DkimResult.TEMPERROR: Ternary.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Signatures:
    """The results of the signatures on a message that has arrived."""

    here: tuple[CheckedSignature, ...]
    onward: tuple[CheckedSignature, ...]
    """The same signatures as the next receiver finds them."""

    def made_by(self, domain: Domain) -> Ternary:
        """Whether one of *domain* itself verifies."""
        found = Ternary.NO
        for each in self.here:
            if each.domain == domain:
                found |= _PASSES.get(each.result, Ternary.NO)
        return found


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a receiver in the place of this relay finds."""

    found: Prediction
    onward: tuple[CheckedSignature, ...]
    """The signatures as the next receiver finds them."""

    @property
    def has_failed(self) -> Ternary:
        """Whether either RFC has it fail under a policy of quarantine or reject."""
        return self._fails(self.found.rfc7489) | self._fails(self.found.rfc9989)

    @property
    def is_authentic(self) -> Ternary:
        """Whether an identifier that passes aligns under both RFCs, record or none."""
        return self._passes(self.found.rfc7489) & self._passes(self.found.rfc9989)

    @property
    def passes_by_spf(self) -> Ternary:
        """The same of SPF alone."""
        return self._spf(self.found.rfc7489) & self._spf(self.found.rfc9989)

    @property
    def passes_onward(self) -> Ternary:
        """The same of the signatures that the next receiver finds."""
        found = self.found
        return self._dkim(found.rfc7489, self.onward) & self._dkim(found.rfc9989, self.onward)

    def _fails(self, view: ModelView) -> Ternary:
        return _ENFORCED.get(view.discovery.policy, Ternary.NO) & ~self._passes(view)

    def _passes(self, view: ModelView) -> Ternary:
        return self._spf(view) | self._dkim(view, self.found.dkim)

    def _spf(self, view: ModelView) -> Ternary:
        domain = self.found.spf[0].domain if self.found.spf else None
        return spf_passes(self.found.spf) & self._aligns(view, view.spf_aligned, domain)

    def _dkim(self, view: ModelView, signatures: tuple[CheckedSignature, ...]) -> Ternary:
        found = Ternary.NO
        for each, aligned in zip(signatures, view.dkim_aligned, strict=True):
            passes = _PASSES.get(each.result, Ternary.NO)
            found |= passes & self._aligns(view, aligned, each.domain)
        return found

    def _aligns(self, view: ModelView, aligned: Ternary, domain: Domain | None) -> Ternary:
        # A record that nobody could read may ask for strict alignment, and for no more than that.
        is_certain = view.discovery.policy is not Policy.UNKNOWN
        if is_certain or domain == self.found.author_domain:
            return aligned
        return aligned & Ternary.UNKNOWN


def check_signatures(
    message: Message, lookup: Lookup, now: float, added: frozenset[str]
) -> Signatures:
    """Verify the signatures on *message*, to which fields of the names in *added* are added."""
    here = verify_signatures(message, lookup, now, has_arrived=True)
    onward = verify_signatures(message, lookup, now) if message.has_long_line else here
    fields = message.fields("DKIM-Signature")
    return Signatures(
        here,
        tuple(
            _broken_by_us(each) if signed_names(signature_tags(field)) & added else each
            for field, each in zip(fields, onward, strict=False)
        ),
    )


def check_sender(
    message: Message, evaluator: SpfEvaluator
) -> tuple[Domain | None, tuple[Spf, ...]]:
    """The domain that SPF judges, and the result for the client, of which there may be none."""
    helo = _helo_domain(message.helo)
    _, domain = spf_identity(message.envelope_sender, helo)
    if message.client is None:
        return domain, ()
    return domain, (evaluator.evaluate(message.client, message.envelope_sender, helo),)


def judge_arrival(
    message: Message,
    author_domain: Domain,
    signatures: Signatures,
    lookup: Lookup,
    suffixes: PublicSuffixes,
    evaluator: SpfEvaluator,
) -> Arrival:
    """Judge *message* of *author_domain*, whose *signatures* are verified."""
    domain, spf = check_sender(message, evaluator)
    found = assess(author_domain, domain, spf, signatures.here, lookup, suffixes)
    return Arrival(found, signatures.onward)


def _broken_by_us(checked: CheckedSignature) -> CheckedSignature:
    explanation = "h= has a field that is added here"
    return replace(checked, result=DkimResult.FAIL, explanation=explanation)


def _helo_domain(text: str) -> Domain | None:
    """The domain that a client calls itself; None for an address literal or anything else."""
    try:
        return Domain.parse(text)
    except DomainError:
        return None
