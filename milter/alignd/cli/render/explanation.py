"""Renders the explanation of one message: what was known, found and decided, and what changes."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.advice.alternatives import Advice
from alignd.cli.render.evidence import full_evidence, rule_and_fix
from alignd.cli.render.return_address import WHY_NONE
from alignd.cli.text import (
    ADDED,
    BLANK,
    HEADING,
    REMOVED,
    Line,
    Span,
    fold,
    shortened,
    verbatim,
)
from alignd.config.settings import Configuration, Settings
from alignd.judgement.author import Author
from alignd.judgement.decision import Rewrite
from alignd.judgement.own_sender import AddressResult, OwnSender
from alignd.judgement.reasons import Action
from alignd.judgement.review import Judgement, add_trace_field
from alignd.mail.message import Edits, HeaderField, Message, compare
from alignd.return_path.address import BOUNCE_DAYS, Unfit

_OUTCOMES = {
    Action.SKIP: ("it is left alone", "it is left alone"),
    Action.PASS: ("it is left alone", "it is left alone"),
    Action.ENVELOPE: ("only its envelope sender moves", "only its envelope sender would move"),
    Action.REWRITE: (
        "it leaves from the notifications domain",
        "it would leave from the notifications domain",
    ),
    Action.REFUSE: ("it is refused for good", "it would be refused for good"),
}


def explanation_lines(
    message: Message,
    judgement: Judgement,
    configuration: Configuration,
    advice: Advice | None = None,
) -> Iterator[Line]:
    """Explain the *judgement* of a *message* with its whole header.

    *advice* is for its author; None if it would change nothing.
    """
    yield from _headline(judgement)
    yield from _section("What was known")
    yield from _known(message, judgement, configuration)
    yield from _section("What receivers will find")
    yield from _found(judgement)
    yield from _section("What decided")
    yield Line.of(f"  {judgement.reason.key}={judgement.reason.value}")
    yield from rule_and_fix(judgement.reason)
    if advice is not None:
        yield from _section("What would keep the author's name")
        yield from _advice(advice)
    rewrite = judgement.circumstances.rewrite
    if judgement.address is not None and rewrite is not None:
        yield from _section("Where answers and bounces go")
        yield from _answers(rewrite.sender, judgement.settings)
        yield from _bounces(rewrite)
    if judgement.planned:
        is_dry = judgement.settings.rules.dry_run
        yield from _section("What would change" if is_dry else "What changes")
        yield from _changes(message, add_trace_field(judgement))


def _advice(advice: Advice) -> Iterator[Line]:
    domain = advice.author.domain
    if advice.alternatives:
        best = advice.alternatives[0].publication
        yield from fold(f"{domain} publishes, checked to pass:", "  ", "  ")
        yield verbatim(f"{best.kind.value} record of {best.name}", "    ")
        yield verbatim(best.value, "    ")
    elif advice.cannot:
        yield from fold(f"No record would: {advice.cannot}", "  ", "  ")
    yield Line.of("  All alternatives and their cost:")
    yield verbatim(f"alignd domain {domain}", "    ")


def _headline(judgement: Judgement) -> Iterator[Line]:
    action, meaning = judgement.reason.action, judgement.reason.text.meaning
    is_dry = judgement.settings.rules.dry_run
    outcome = _OUTCOMES[action][is_dry]
    yield from fold(f"{action.value}: {outcome}, since {meaning}", style=HEADING)
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
    yield from full_evidence(predictions.as_sent)
    moved = predictions.with_author_as_sender
    if moved is not None:
        yield from _section("And if the author were the envelope sender")
        yield from full_evidence(moved)


def _answers(sender: OwnSender, settings: Settings) -> Iterator[Line]:
    if sender.is_return_address:
        own = settings.return_path.mailbox
        whose = f"go to {own.address}" if own else "reach the author"
        yield from fold(f"Answers to From {whose}, by the return address", "  ", "  ")
        yield verbatim(sender.address.address, "    ")
        return
    why = _why_none(sender)
    yield from fold(f"The author's address has no return address: {why}.", "  ", "  ")
    yield from fold(f"From is {sender.address.address}, as for everybody.", "  ", "  ")


def _why_none(sender: OwnSender) -> str:
    match sender.result:
        case AddressResult.NO_AUTHOR | AddressResult.NO_KEYS | AddressResult.RETURN | None:
            return "From names nobody"
        case result:
            return WHY_NONE[Unfit(result.value)]


def _bounces(rewrite: Rewrite) -> Iterator[Line]:
    if not rewrite.envelope_sender:
        yield from fold("There are no bounces: the envelope sender stays null.", "  ", "  ")
    elif rewrite.sender.bounces_reach_author:
        days = f"for {BOUNCE_DAYS} days"
        yield from fold(f"Bounces reach the author, {days}, by the bounce address", "  ", "  ")
        yield verbatim(rewrite.envelope_sender, "    ")
    else:
        yield from fold(f"Bounces go to {rewrite.envelope_sender}.", "  ", "  ")


def _changes(message: Message, edits: Edits) -> Iterator[Line]:
    yield Line.of(Span("--- as it came", REMOVED))
    yield Line.of(Span("+++ as it leaves", ADDED))
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
    return fold(shortened(text), "-", "-    ", REMOVED)


def _added(text: str) -> list[Line]:
    return fold(shortened(text), "+", "+    ", ADDED)


def _section(title: str) -> list[Line]:
    return [BLANK, Line.of(Span(title, HEADING))]


def _pair(name: str, value: str) -> list[Line]:
    return fold(shortened(value), f"  {name:<17}", " " * 19)
