"""Predicts what receivers will say of a message that this relay sends: SPF, DKIM and DMARC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from alignd.config.settings import Relay
from alignd.mail.domain import Domain
from alignd.mailauth.dkim import CheckedSignature
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dmarc import (
    AlignmentMode,
    Discovery,
    DmarcRecords,
    Model,
    Policy,
    Reading,
    aligned,
    stricter,
)
from alignd.mailauth.dns import Lookup
from alignd.mailauth.rfc7489 import PublicSuffixes, Rfc7489
from alignd.mailauth.rfc9989 import Rfc9989
from alignd.mailauth.spf import Spf, SpfEvaluator, SpfResult, spf_identity
from alignd.mailauth.ternary import Ternary


class Verdict(Enum):
    """What a DMARC check says; NONE when there is no policy to check against."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NONE = "none"
    UNKNOWN = "unknown"


_PASSES = {DkimResult.PASS: Ternary.YES, DkimResult.TEMPERROR: Ternary.UNKNOWN}
_VERDICTS = {
    Ternary.YES: Verdict.PASS,
    Ternary.NO: Verdict.FAIL,
    Ternary.UNKNOWN: Verdict.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class ModelView:
    """What a receiver that follows one RFC finds."""

    discovery: Discovery
    spf_aligned: Ternary
    """Whether the domain that SPF judges aligns with the author domain."""
    dkim_aligned: tuple[Ternary, ...] = ()
    """The same of each signature's d=."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What receivers will say, whichever of the two RFCs they follow."""

    author_domain: Domain
    spf: tuple[Spf, ...]
    """One for each relay address: Postfix picks the address, so all have to pass. Of a message
    that has arrived, one for its client, or none where that has no address."""
    dkim: tuple[CheckedSignature, ...]
    """Each signature that receivers will find."""
    rfc7489: ModelView
    rfc9989: ModelView

    @property
    def policy(self) -> Policy:
        """The stricter of the two policies."""
        return stricter(self.rfc7489.discovery.policy, self.rfc9989.discovery.policy)

    @property
    def record_domain(self) -> Domain | None:
        """Where the record of `policy` stands; None where no record could be read."""
        views = (self.rfc9989, self.rfc7489)
        found = [view.discovery for view in views if view.discovery.policy is self.policy]
        return found[0].record_domain

    @property
    def spf_aligned(self) -> Ternary:
        """Whether the domain that SPF judges aligns under both RFCs."""
        return self.rfc7489.spf_aligned & self.rfc9989.spf_aligned

    @property
    def dkim_aligned(self) -> tuple[Ternary, ...]:
        """Whether the d= of each signature aligns under both RFCs."""
        views = zip(self.rfc7489.dkim_aligned, self.rfc9989.dkim_aligned, strict=True)
        return tuple(one & other for one, other in views)

    @property
    def aligned(self) -> Ternary:
        """Whether an identifier that passes aligns under both RFCs, record or none."""
        return self._aligned(self.rfc7489) & self._aligned(self.rfc9989)

    @property
    def passes(self) -> bool:
        """Whether receivers of both RFCs will say `dmarc=pass`."""
        return self.verdict(self.rfc7489) is self.verdict(self.rfc9989) is Verdict.PASS

    def verdict(self, view: ModelView) -> Verdict:
        """What a receiver with this view says, RFC 9989, section 5.3.6."""
        match view.discovery.policy:
            case Policy.ABSENT:
                return Verdict.NONE
            case Policy.UNKNOWN:
                return Verdict.UNKNOWN
            case _:
                return _VERDICTS[self._aligned(view)]

    def _aligned(self, view: ModelView) -> Ternary:
        # A record that nobody could read may ask for anything: unknown, even if SPF aligns.
        readable = Ternary.UNKNOWN if view.discovery.policy is Policy.UNKNOWN else Ternary.YES
        authenticated = spf_passes(self.spf) & view.spf_aligned
        for dkim, aligns in zip(self.dkim, view.dkim_aligned, strict=True):
            authenticated |= _PASSES.get(dkim.result, Ternary.NO) & aligns
        return authenticated & readable


def predict(
    author_domain: Domain,
    envelope_sender: str,
    relay: Relay,
    lookup: Lookup,
    suffixes: PublicSuffixes,
    dkim: tuple[CheckedSignature, ...] = (),
    evaluator: SpfEvaluator | None = None,
) -> Prediction:
    """Predict what receivers say of mail from *author_domain* with this envelope sender.

    *evaluator* is that of a judgement, whose predictions share its processor time.
    """
    _, spf_domain = spf_identity(envelope_sender, relay.hostname)
    spf = judge_spf(envelope_sender, relay, evaluator or SpfEvaluator(lookup))
    return assess(author_domain, spf_domain, spf, dkim, lookup, suffixes)


def assess(
    author_domain: Domain,
    spf_domain: Domain | None,
    spf: tuple[Spf, ...],
    dkim: tuple[CheckedSignature, ...],
    lookup: Lookup,
    suffixes: PublicSuffixes,
) -> Prediction:
    """What receivers make of the results of SPF, for *spf_domain*, and of DKIM."""
    domains = (spf_domain, tuple(signature.domain for signature in dkim))
    records = DmarcRecords(lookup)

    def read(model: Callable[[Reading], Model]) -> ModelView:
        view = _view(author_domain, *domains, model(Reading.EXACT))
        if Reading.LENIENT not in records.readings:  # as nearly always
            return view
        return _strictest(view, _view(author_domain, *domains, model(Reading.LENIENT)))

    return Prediction(
        author_domain=author_domain,
        spf=spf,
        dkim=dkim,
        rfc7489=read(lambda reading: Rfc7489(records, suffixes, reading)),
        rfc9989=read(lambda reading: Rfc9989(records, reading)),
    )


def judge_spf(envelope_sender: str, relay: Relay, evaluator: SpfEvaluator) -> tuple[Spf, ...]:
    """The SPF result of every relay address for *envelope_sender*."""
    return tuple(
        evaluator.evaluate(address, envelope_sender, relay.hostname) for address in relay.addresses
    )


def spf_passes(results: tuple[Spf, ...]) -> Ternary:
    """Whether SPF passes for every address, of which there is one; UNKNOWN if only DNS failed."""
    if not results:
        return Ternary.NO
    if all(spf.counts for spf in results):
        return Ternary.YES
    doubtful = all(spf.counts or spf.result is SpfResult.TEMPERROR for spf in results)
    return Ternary.UNKNOWN if doubtful else Ternary.NO


def _strictest(one: ModelView, other: ModelView) -> ModelView:
    """What the stricter of two receivers finds."""
    policy = stricter(one.discovery.policy, other.discovery.policy)
    aligned_by_dkim = zip(one.dkim_aligned, other.dkim_aligned, strict=True)
    return ModelView(
        one.discovery if one.discovery.policy is policy else other.discovery,
        one.spf_aligned & other.spf_aligned,
        tuple(each & another for each, another in aligned_by_dkim),
    )


def _view(
    author_domain: Domain,
    spf_domain: Domain | None,
    dkim_domains: tuple[Domain | None, ...],
    model: Model,
) -> ModelView:
    discovery = model.discover(author_domain)
    record = discovery.record
    spf_mode = record.spf_alignment if record else AlignmentMode.RELAXED
    dkim_mode = record.dkim_alignment if record else AlignmentMode.RELAXED

    def aligns(identifier: Domain | None, mode: AlignmentMode) -> Ternary:
        return (
            Ternary.NO if identifier is None else aligned(identifier, author_domain, mode, model)
        )

    return ModelView(
        discovery,
        aligns(spf_domain, spf_mode),
        tuple(aligns(domain, dkim_mode) for domain in dkim_domains),
    )
