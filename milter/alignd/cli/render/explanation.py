"""The decision on one message as a short story for people: known, found, decided, changed."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.advice.alternatives import Advice
from alignd.cli.text import Line, Style, fold
from alignd.config.settings import Configuration, Settings
from alignd.judgement.author import Author
from alignd.judgement.prediction import ModelView, Prediction
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.review import Judgement, add_trace_field
from alignd.mail.message import Edits, HeaderField, Message, compare
from alignd.mailauth.dkim import CheckedSignature, Source
from alignd.mailauth.dmarc import AlignmentMode, record_name
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.spf import Spf, SpfResult
from alignd.mailauth.ternary import Ternary

_OUTCOMES = {
    Action.SKIP: ("it is left alone", "it is left alone"),
    Action.PASS: ("it is left alone", "it is left alone"),
    Action.ENVELOPE: ("only its envelope sender moves", "only its envelope sender would move"),
    Action.REWRITE: (
        "it leaves from the notifications domain",
        "it would leave from the notifications domain",
    ),
}
_SPF_SECTIONS = {
    SpfResult.NONE: "2.6.1",
    SpfResult.NEUTRAL: "2.6.2",
    SpfResult.PASS: "2.6.3",
    SpfResult.FAIL: "2.6.4",
    SpfResult.SOFTFAIL: "2.6.5",
    SpfResult.TEMPERROR: "2.6.6",
    SpfResult.PERMERROR: "2.6.7",
}
_DKIM_SOURCES = {
    Source.MESSAGE: ("on the message", "RFC 6376, section 6.1"),
    Source.UPSTREAM: ("by a verifier upstream", "RFC 8601, section 2.7.1"),
    Source.SIGNER: ("by the signer to come", "RFC 6376, section 3.6.1"),
}
_ALIGNS = {
    Ternary.YES: "aligns",
    Ternary.NO: "does not align",
    Ternary.UNKNOWN: "may align, which DNS could not say",
}


def story(
    message: Message,
    judgement: Judgement,
    configuration: Configuration,
    advice: Advice | None = None,
) -> Iterator[Line]:
    """The lines of the explanation of a *message* with its whole header.

    *advice* is for its author, where there is something to advise.
    """
    yield from _headline(judgement)
    yield from _section("What was known")
    yield from _known(message, judgement, configuration)
    yield from _section("What receivers will find")
    yield from _found(judgement)
    yield from _section("What decided")
    yield from _decided(judgement.reason)
    if advice is not None:
        yield from _section("What would keep the author's name")
        yield from _advice(advice)
    if judgement.planned:
        is_dry = judgement.settings.rules.dry_run
        yield from _section("What would change" if is_dry else "What changes")
        yield from _changes(message, add_trace_field(judgement))


def _advice(advice: Advice) -> Iterator[Line]:
    domain = advice.author.domain
    if advice.alternatives:
        found = advice.alternatives[0].publication
        yield from fold(f"{domain} publishes, checked to pass:", "  ", "  ")
        yield from fold(f"{found.kind.value} record of {found.name}", "    ", "    ")
        yield from fold(found.value, "    ", "    ")
    elif advice.cannot:
        yield from fold(f"No record would: {advice.cannot}", "  ", "  ")
    yield from fold(f"The whole advice: alignd domain {domain}", "  ", "  ")


def _headline(judgement: Judgement) -> Iterator[Line]:
    action, meaning = judgement.reason.action, judgement.reason.text.meaning
    is_dry = judgement.settings.rules.dry_run
    outcome = _OUTCOMES[action][is_dry]
    yield from fold(f"{action.value}: {outcome}, since {meaning}", style=Style.HEADING)
    if is_dry:
        yield from fold("rules.dry_run is set: the milter logs this and changes nothing")


def _known(message: Message, judgement: Judgement, configuration: Configuration) -> Iterator[Line]:
    relay = judgement.settings.relay
    login = f"logged in as {message.login}" if message.login else "without login"
    yield from _pair("client", f"{message.client}, {login}")
    yield from _pair("envelope sender", message.envelope_sender or "<>, the null sender")
    yield from _pair("recipients", ", ".join(message.recipients) or "none given")
    yield from _pair("author", _author(judgement.circumstances.author))
    yield from _pair("configuration", _view(judgement.settings, configuration))
    addresses = ", ".join(map(str, relay.addresses))
    yield from _pair("relay", f"{relay.hostname}, from {addresses}")


def _author(author: Author) -> str:
    mailbox = author.mailbox
    name = f"{mailbox.display_name} " if mailbox and mailbox.display_name else ""
    written = f"{name}<{mailbox.address}>" if mailbox else "nobody"
    if author.unreadable is None:
        return written
    return f"unreadable ({author.detail}); the best guess is {written}"


def _view(settings: Settings, configuration: Configuration) -> str:
    for number, tenant in enumerate(configuration.tenant, 1):
        if tenant.settings is settings:
            return f"[[tenant]] number {number}, by {', '.join(tenant.match.names)}"
    return "the general one; no [[tenant]] matches" if configuration.tenant else "the general one"


def _found(judgement: Judgement) -> Iterator[Line]:
    predictions = judgement.circumstances.predictions
    if predictions is None:
        skipped = judgement.reason.action is Action.SKIP
        what = "no helpdesk message" if skipped else "no author that all receivers read alike"
        yield from fold(f"Not asked: there is {what}.", "  ", "  ")
        return
    yield from _checks(predictions.as_sent)
    moved = predictions.with_author_as_sender
    if moved is not None:
        yield from _section("And if the author were the envelope sender")
        yield from _checks(moved)


def _checks(prediction: Prediction) -> Iterator[Line]:
    judged = prediction.spf[0].domain
    whom = judged or "an envelope sender without a domain"
    yield from fold(f"SPF of {whom} (RFC 7208, section 2.4)", "  ", "    ")
    for spf in prediction.spf:
        yield from _item(_spf(spf))
    yield Line("  DKIM")
    for dkim, aligns in zip(prediction.dkim, prediction.dkim_aligned, strict=True):
        yield from _item(_dkim(dkim, aligns))
    if not prediction.dkim:
        yield from _item("no signature that alignd is told of (RFC 6376)")
    yield from fold(f"DMARC of {prediction.author_domain}", "  ", "    ")
    for view, policy, organization, alignment, name in (
        (prediction.rfc7489, "6.6.3", "3.2", "3.1.2", "RFC 7489"),
        (prediction.rfc9989, "4.10.1", "4.10.2", "4.4", "RFC 9989"),
    ):
        verdict = prediction.verdict(view).value
        yield from _item(f"{name}: {verdict}")
        yield from _detail(f"{_policy(view)} (section {policy})")
        yield from _detail(f"{_organization(view)} (section {organization})")
        subject = (
            f"{judged}, which SPF judges,"
            if judged
            else "the envelope sender, which has no domain,"
        )
        yield from _detail(
            f"{subject} {_ALIGNS[view.spf_aligned]}{_mode(view)} (section {alignment})"
        )


def _spf(spf: Spf) -> str:
    text = f"{spf.address}: {spf.result.value}, {_brief(spf.explanation)}"
    if spf.result is SpfResult.PASS and not spf.counts:
        text += ", which passes the whole world, so that not every receiver counts it"
    return f"{text} (section {_SPF_SECTIONS[spf.result]})"


def _dkim(dkim: CheckedSignature, aligns: Ternary) -> str:
    where, section = _DKIM_SOURCES[dkim.source]
    name = f"{_brief(dkim.selector)} of {dkim.domain or 'no domain'}, {where}"
    evidence = f", {_brief(dkim.explanation)}" if dkim.explanation else ""
    return f"{name}: {dkim.result.value}{evidence}; {_ALIGNS[aligns]} ({section})"


def _policy(view: ModelView) -> str:
    discovery = view.discovery
    place = f" at {record_name(discovery.record_domain)}" if discovery.record_domain else ""
    return f"policy {discovery.policy.value}{place}"


def _organization(view: ModelView) -> str:
    organization = view.discovery.organizational_domain
    if isinstance(organization, LookupFailed):
        return f"organizational domain unknown, DNS: {_brief(organization.reason)}"
    return f"organizational domain {organization}"


def _mode(view: ModelView) -> str:
    record = view.discovery.record
    is_strict = record is not None and record.spf_alignment is AlignmentMode.STRICT
    return ", strictly (aspf=s)" if is_strict else ""


def _decided(reason: Reason) -> Iterator[Line]:
    options = f" ({', '.join(reason.text.options)})" if reason.text.options else ""
    rule = f"Rule {reason.rule.value}" if reason.rule else "No rule"
    yield from fold(f"{rule}: {reason.value}{options}", "  ", "    ")
    yield from fold(f"Fix: {reason.text.fix}", "  ", "    ")


def _changes(message: Message, edits: Edits) -> Iterator[Line]:
    yield Line("--- as it came", Style.REMOVED)
    yield Line("+++ as it leaves", Style.ADDED)
    if edits.envelope_sender is not None:
        yield from _removed(f"MAIL FROM:<{message.envelope_sender}>")
        yield from _added(f"MAIL FROM:<{edits.envelope_sender}>")
    for before, after in compare(message.header, edits.header):
        if before is after:
            continue
        if before is not None:
            yield from _removed(_written(before))
        if after is not None:
            yield from _added(_written(after))


def _written(field: HeaderField) -> str:
    value = field.unfolded.decode(errors="replace").replace("\t", " ")
    return f"{field.name}: {value}"


def _removed(text: str) -> list[Line]:
    return fold(text, "-", "-    ", Style.REMOVED)


def _added(text: str) -> list[Line]:
    return fold(text, "+", "+    ", Style.ADDED)


def _brief(text: str) -> str:
    """Text of DNS or of mail that stands in the middle of a sentence."""
    return text if len(text) <= _MAX_EVIDENCE else f"{text[:_MAX_EVIDENCE]}..."


_MAX_EVIDENCE = 200  # characters; all of it stands in the JSON


def _section(title: str) -> list[Line]:
    return [Line(""), Line(title, Style.HEADING)]


def _pair(name: str, value: str) -> list[Line]:
    return fold(value, f"  {name:<17}", " " * 19)


def _item(text: str) -> list[Line]:
    return fold(text, "    ", "      ")


def _detail(text: str) -> list[Line]:
    return fold(text, "      ", "        ")
