"""Renders the evidence and the rule behind a decision, in the same words for every command.

`alignd explain` shows all of it, each step with its section of an RFC. `alignd domain` is terser
on purpose, as its reader wants a record to publish: `brief_evidence` leaves out the sections, the
verdict of each DMARC model and the alignment of SPF, and shows the stricter policy of both models
and the organizational domain of RFC 9989, if it differs from the author domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alignd.cli.text import Line, fold, shortened
from alignd.judgement.prediction import ModelView, Prediction
from alignd.judgement.reasons import Reason, Word
from alignd.mail.domain import Domain
from alignd.mailauth.dkim import CheckedSignature, Source
from alignd.mailauth.dmarc import AlignmentMode, DmarcRecord, Policy, record_name
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.spf import Spf, SpfResult
from alignd.mailauth.ternary import Ternary

MAX_EVIDENCE = 200
"""Characters of DNS or mail in the middle of a sentence; the JSON has all of them."""

_SPF_SECTIONS = {
    SpfResult.NONE: "2.6.1",
    SpfResult.NEUTRAL: "2.6.2",
    SpfResult.PASS: "2.6.3",
    SpfResult.FAIL: "2.6.4",
    SpfResult.SOFTFAIL: "2.6.5",
    SpfResult.TEMPERROR: "2.6.6",
    SpfResult.PERMERROR: "2.6.7",
}
_DKIM_SECTIONS = {
    Source.MESSAGE: "RFC 6376, section 6.1",
    Source.UPSTREAM: "RFC 8601, section 2.7.1",
    Source.SIGNER: "RFC 6376, section 3.6.1",
}
_DKIM_SOURCES = {
    Source.MESSAGE: "on the message",
    Source.UPSTREAM: "by a verifier upstream",
    Source.SIGNER: "by the signer after alignd",
}
_NO_SIGNATURE = "no signature that alignd knows of"
_ALIGNS = {
    Ternary.YES: "aligns",
    Ternary.NO: "does not align",
    Ternary.UNKNOWN: "may align, but DNS did not answer",
}


def full_evidence(prediction: Prediction) -> Iterator[Line]:
    """Every check, with the sections of the RFCs."""
    checked = prediction.spf[0].domain
    subject = checked or "an envelope sender without a domain"
    yield from fold(f"SPF of {subject} (RFC 7208, section 2.4)", "  ", "    ")
    for spf in prediction.spf:
        yield from _item(f"{_spf(spf)} (section {_SPF_SECTIONS[spf.result]})")
    yield Line.of("  DKIM")
    for dkim, aligns in zip(prediction.dkim, prediction.dkim_aligned, strict=True):
        yield from _item(f"{_dkim(dkim, aligns)} ({_DKIM_SECTIONS[dkim.source]})")
    if not prediction.dkim:
        yield from _item(f"{_NO_SIGNATURE} (RFC 6376)")
    yield from fold(f"DMARC of {prediction.author_domain}", "  ", "    ")
    for model, policy, organization, alignment, name in (
        (prediction.rfc7489, "6.6.3", "3.2", "3.1.2", "RFC 7489"),
        (prediction.rfc9989, "4.10.1", "4.10.2", "4.4", "RFC 9989"),
    ):
        discovery = model.discovery
        yield from _item(f"{name}: {prediction.verdict(model).value}")
        for text, section in (
            (_policy(discovery.policy, discovery.record_domain), policy),
            (_organization(discovery.organizational_domain), organization),
            (_spf_alignment(checked, model), alignment),
        ):
            yield from fold(f"{text} (section {section})", " " * 6, " " * 8)
        for text in _strict_signatures(prediction, model):
            yield from fold(f"{text} (section {alignment})", " " * 6, " " * 8)


def brief_evidence(prediction: Prediction) -> Iterator[Line]:
    """The results alone, in a paragraph for each mechanism."""
    signatures = zip(prediction.dkim, prediction.dkim_aligned, strict=True)
    yield from _paragraph("SPF", (f"from {_spf(spf)}" for spf in prediction.spf))
    yield from _paragraph(
        "DKIM", [_dkim(dkim, aligns) for dkim, aligns in signatures] or [_NO_SIGNATURE]
    )
    yield from _paragraph("DMARC", [_dmarc(prediction)])


def reason_clause(reason: Reason) -> str:
    return f"{reason.text.meaning} ({reason.value})"


def rule_and_fix(word: Word) -> Iterator[Line]:
    """The rule that decided, if one did, the options behind it, and the fix."""
    options = ", ".join(word.text.options)
    if isinstance(word, Reason) and word.rule:
        yield from fold(f"Rule: {word.rule.value}{options and f' ({options})'}", "  ", "    ")
    elif options:
        yield from fold(f"Options: {options}", "  ", "    ")
    yield from fold(f"Fix: {word.text.fix}", "  ", "    ")


def _spf(spf: Spf) -> str:
    text = f"{spf.address}: {spf.result.value}, {_evidence(spf.explanation)}"
    if spf.result is SpfResult.PASS and not spf.counts:
        text += f", which not every receiver counts: {spf.doubt}"
    return text


def _dkim(dkim: CheckedSignature, aligns: Ternary) -> str:
    selector = _evidence(dkim.selector) if dkim.selector else "a key"
    name = f"{selector} of {dkim.domain or 'no domain'}"
    evidence = f", {_evidence(dkim.explanation)}" if dkim.explanation else ""
    result = f"{dkim.result.value}{evidence}; {_ALIGNS[aligns]}"
    return f"{name}, {_DKIM_SOURCES[dkim.source]}: {result}"


def _dmarc(prediction: Prediction) -> str:
    text = _policy(prediction.policy, prediction.record_domain)
    record = prediction.rfc9989.discovery.record or prediction.rfc7489.discovery.record
    strict = ", ".join(_strict_modes(record)) if record else ""
    if strict:
        text += f"; strict alignment ({strict}): only {prediction.author_domain} itself aligns"
    organization = prediction.rfc9989.discovery.organizational_domain
    if organization != prediction.author_domain:
        text += f"; {_organization(organization)}"
    return text


def _policy(policy: Policy, record_domain: Domain | None) -> str:
    place = f" at {record_name(record_domain)}" if record_domain else ""
    return f"policy {policy.value}{place}"


def _organization(organization: Domain | LookupFailed) -> str:
    if isinstance(organization, LookupFailed):
        return f"organizational domain unknown, DNS: {_evidence(organization.reason)}"
    return f"organizational domain {organization}"


def _spf_alignment(checked: Domain | None, model: ModelView) -> str:
    subject = f"{checked}, which SPF checks," if checked else "an envelope sender without a domain"
    record = model.discovery.record
    is_strict = record is not None and record.spf_alignment is AlignmentMode.STRICT
    return f"{subject} {_ALIGNS[model.spf_aligned]}{', strictly (aspf=s)' if is_strict else ''}"


def _strict_signatures(prediction: Prediction, model: ModelView) -> Iterator[str]:
    """How each signature aligns where only the author domain itself does."""
    record = model.discovery.record
    if record is None or record.dkim_alignment is not AlignmentMode.STRICT:
        return
    for dkim, aligns in zip(prediction.dkim, model.dkim_aligned, strict=True):
        yield f"{dkim.domain or 'no domain'}, which signs, {_ALIGNS[aligns]}, strictly (adkim=s)"
    if not prediction.dkim:
        yield f"only a signature of {prediction.author_domain} itself aligns, strictly (adkim=s)"


def _strict_modes(record: DmarcRecord) -> Iterator[str]:
    if record.spf_alignment is AlignmentMode.STRICT:
        yield "aspf=s"
    if record.dkim_alignment is AlignmentMode.STRICT:
        yield "adkim=s"


def _evidence(text: str) -> str:
    return shortened(text, MAX_EVIDENCE)


def _item(text: str) -> list[Line]:
    return fold(text, " " * 4, " " * 6)


def _paragraph(title: str, texts: Iterable[str]) -> Iterator[Line]:
    """*texts* beside *title*, which stands once."""
    for number, text in enumerate(texts):
        yield from fold(text, f"  {'' if number else title:<7}", " " * 9)
