"""The checks of SPF, DKIM and DMARC with their evidence, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from alignd.judgement.prediction import Prediction, spf_passes
from alignd.languages.texts import Texts, msgid
from alignd.mail.printable import printable
from alignd.mailauth.dkim import CheckedSignature
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dmarc import AlignmentMode, Policy, record_name
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.spf import Spf, SpfResult
from alignd.mailauth.ternary import Ternary
from alignd.web.desk.examined import Examined, Records
from alignd.web.views.events import cut, shown

MAX_EVIDENCE = 200
"""Characters of what DNS says, in evidence."""
MAX_RECORD = 2000
_SPF = {
    SpfResult.PASS: msgid("The SPF record of {domain} names {address}."),
    SpfResult.FAIL: msgid("The SPF record of {domain} forbids mail from {address}."),
    SpfResult.SOFTFAIL: msgid("The SPF record of {domain} doubts mail from {address}."),
    SpfResult.NEUTRAL: msgid("The SPF record of {domain} says nothing of {address}."),
    SpfResult.NONE: msgid("{domain} has no SPF record, so nothing is said of {address}."),
    SpfResult.TEMPERROR: msgid(
        "DNS did not answer what the SPF record of {domain} says of {address}."
    ),
    SpfResult.PERMERROR: msgid(
        "The SPF record of {domain} has an error, so that it does not count for {address}."
    ),
}
_SPF_DOUBTED = msgid(
    "The SPF record of {domain} names {address}, but not every mail server counts that."
)
_DKIM = {
    DkimResult.PASS: msgid("The signature with the key {selector} of {domain} will be valid."),
    DkimResult.NONE: msgid("There will be no signature with the key {selector} of {domain}."),
    DkimResult.FAIL: msgid("The signature with the key {selector} of {domain} will not be valid."),
    DkimResult.POLICY: msgid(
        "The signature with the key {selector} of {domain} counts at some mail servers only."
    ),
    DkimResult.TEMPERROR: msgid("DNS did not answer what the key {selector} of {domain} is."),
    DkimResult.PERMERROR: msgid("The key {selector} of {domain} cannot be used."),
}
_POLICIES = {
    Policy.REJECT: msgid("The record {name} asks that mail that fails is refused (“reject”)."),
    Policy.QUARANTINE: msgid(
        "The record {name} asks that mail that fails is treated as spam (“quarantine”)."
    ),
    Policy.NONE: msgid("The record {name} asks for nothing where mail fails (“none”)."),
    Policy.ABSENT: msgid("{domain} has no DMARC record."),
    Policy.UNKNOWN: msgid("DNS did not answer which DMARC record {domain} has."),
}
_ALIGNED = {
    Ternary.YES: msgid("What passes belongs to {domain}, so that the mail passes DMARC."),
    Ternary.NO: msgid("Nothing that passes belongs to {domain}, so that the mail fails DMARC."),
    Ternary.UNKNOWN: msgid("Whether the mail passes DMARC depends on what DNS did not answer."),
}
_PUBLISHED = {
    Ternary.YES: msgid("Published at {name}:"),
    Ternary.NO: msgid("There is no such record at {name}."),
    Ternary.UNKNOWN: msgid("DNS did not answer what is published at {name}."),
}
_CSS = {Ternary.YES: "good", Ternary.NO: "bad", Ternary.UNKNOWN: "info"}


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One result within a check."""

    subject: str
    """An address, a key, a name."""
    result: str
    """The word of the RFC."""
    sentence: str
    evidence: str = ""
    """What decided, as DNS has it, or in English; perhaps empty."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one mechanism says of the mail."""

    name: str
    """SPF, DKIM or DMARC."""
    tone: str
    """good, bad or info: the end of a class."""
    sentence: str
    rows: tuple[CheckRow, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedRecord:
    """What a name has in DNS now."""

    sentence: str
    lines: tuple[str, ...] = ()


def checks_of(prediction: Prediction, texts: Texts, *, is_public: bool = False) -> Iterator[Check]:
    """The three checks; *is_public* leaves out what our own resolver says of its troubles."""
    checks = (
        _spf_check(prediction, texts, is_public=is_public),
        _dkim_check(prediction, texts, is_public=is_public),
    )
    # One of the two suffices (RFC 9989, section 4.4): then that the other fails is no fault.
    suffices = any(each.tone == _CSS[Ternary.YES] for each in checks)
    for each in checks:
        is_harmless = suffices and each.tone == _CSS[Ternary.NO]
        yield replace(each, tone=_CSS[Ternary.UNKNOWN]) if is_harmless else each
    yield _dmarc_check(prediction, texts)


def published_now(examined: Examined, texts: Texts) -> Iterator[PublishedRecord]:
    """The records that have a say, as they are in DNS."""
    for each in examined.records:
        yield _published(each, texts)


def _spf_check(prediction: Prediction, texts: Texts, *, is_public: bool) -> Check:
    passes = spf_passes(prediction.spf)
    aligned = prediction.spf_aligned & passes
    domain = prediction.author_domain.name
    if passes is Ternary.YES and aligned is not Ternary.YES:
        sentence = texts.text(
            "SPF passes, but for a domain that does not belong to {domain}.", domain=domain
        )
    elif passes is Ternary.YES:
        sentence = texts.text("SPF passes from every address of our mail server.")
    elif passes is Ternary.NO:
        sentence = texts.text("SPF does not pass from every address of our mail server.")
    else:
        sentence = texts.text("Whether SPF passes depends on what DNS did not answer.")
    rows = tuple(_spf_row(each, domain, texts, is_public=is_public) for each in prediction.spf)
    return Check("SPF", _CSS[aligned], sentence, rows)


def _spf_row(spf: Spf, domain: str, texts: Texts, *, is_public: bool) -> CheckRow:
    is_doubted = spf.result is SpfResult.PASS and not spf.counts
    sentence = texts.text(
        _SPF_DOUBTED if is_doubted else _SPF[spf.result],
        domain=spf.domain.name if spf.domain else domain,
        address=spf.address,
    )
    is_ours = is_public and spf.result is SpfResult.TEMPERROR
    evidence = "" if is_ours else cut(spf.doubt if is_doubted else spf.explanation, MAX_EVIDENCE)
    return CheckRow(str(spf.address), spf.result.value, sentence, evidence)


def _dkim_check(prediction: Prediction, texts: Texts, *, is_public: bool) -> Check:
    domain, found = prediction.author_domain.name, Ternary.NO
    for dkim, aligns in zip(prediction.dkim, prediction.dkim_aligned, strict=True):
        found |= _valid(dkim) & aligns
    sentences = {
        Ternary.YES: msgid("A DKIM signature of {domain} will be valid."),
        Ternary.NO: msgid("No DKIM signature of {domain} will be valid."),
        Ternary.UNKNOWN: msgid(
            "Whether a DKIM signature of {domain} will be valid depends on what DNS did not "
            "answer."
        ),
    }
    rows = tuple(_dkim_row(each, texts, is_public=is_public) for each in prediction.dkim)
    return Check("DKIM", _CSS[found], texts.text(sentences[found], domain=domain), rows)


def _valid(dkim: CheckedSignature) -> Ternary:
    if dkim.result is DkimResult.TEMPERROR:
        return Ternary.UNKNOWN
    return Ternary.YES if dkim.result is DkimResult.PASS else Ternary.NO


def _dkim_row(dkim: CheckedSignature, texts: Texts, *, is_public: bool) -> CheckRow:
    domain = dkim.domain.name if dkim.domain else "?"
    selector = cut(dkim.selector, MAX_EVIDENCE) or "?"
    is_ours = is_public and dkim.result is not DkimResult.PERMERROR
    return CheckRow(
        f"{selector}._domainkey.{domain}",
        dkim.result.value,
        texts.text(_DKIM[dkim.result], selector=selector, domain=domain),
        "" if is_ours else cut(dkim.explanation, MAX_EVIDENCE),
    )


def _dmarc_check(prediction: Prediction, texts: Texts) -> Check:
    domain, place = prediction.author_domain.name, prediction.record_domain
    name = record_name(place) if place else domain
    policy = texts.text(_POLICIES[prediction.policy], name=name, domain=domain)
    rows = [CheckRow(name, prediction.policy.value, policy)]
    record = prediction.rfc9989.discovery.record or prediction.rfc7489.discovery.record
    strict = AlignmentMode.STRICT
    if record and strict in {record.spf_alignment, record.dkim_alignment}:
        sentence = texts.text(
            "The record wants strict alignment: only {domain} itself counts, no domain above or "
            "below it.",
            domain=domain,
        )
        rows.append(CheckRow(name, "strict", sentence))
    organization = prediction.rfc9989.discovery.organizational_domain
    if not isinstance(organization, LookupFailed) and organization != prediction.author_domain:
        sentence = texts.text(
            "{domain} belongs to the domain {organization}.",
            domain=domain,
            organization=organization,
        )
        rows.append(CheckRow(organization.name, "organizational-domain", sentence))
    aligned = prediction.aligned
    said = texts.text(_ALIGNED[aligned], domain=domain)
    return Check("DMARC", _CSS[aligned], said, tuple(rows))


def _published(records: Records, texts: Texts) -> PublishedRecord:
    name = printable(records.name)
    if records.alias_of:
        return PublishedRecord(
            texts.text("{name} is an alias (CNAME) of:", name=name), (printable(records.alias_of),)
        )
    if records.texts is None:
        return PublishedRecord(texts.text(_PUBLISHED[Ternary.UNKNOWN], name=name))
    if not records.texts:
        return PublishedRecord(texts.text(_PUBLISHED[Ternary.NO], name=name))
    values = tuple(shown(each, MAX_RECORD) for each in records.texts)
    return PublishedRecord(texts.text(_PUBLISHED[Ternary.YES], name=name), values)
