"""Renders the advice for one author domain."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.advice.alternatives import Advice, Alternative, Cost
from alignd.advice.publication import TTL, Impossible, Kind, Publication
from alignd.advice.report_request import ReportRequest
from alignd.advice.spf_cost import MAX_LOOKUPS, MAX_VOID_LOOKUPS
from alignd.cli.render.evidence import brief_evidence, reason_clause
from alignd.cli.text import (
    BLANK,
    GOOD_HEADING,
    WARNING_HEADING,
    Line,
    Span,
    fold,
    shortened,
    verbatim,
)
from alignd.judgement.reasons import Action
from alignd.mail.domain import Domain
from alignd.mail.printable import record_text
from alignd.mailauth.spf_record import MAX_STRING

MAX_REPLACED = 1000
"""Characters shown of a record to replace: enough to recognise it."""

_OUTCOMES = {
    Action.SKIP: "left alone",
    Action.PASS: "left alone",
    Action.ENVELOPE: "left alone, and only its envelope sender moves",
    Action.REWRITE: "rewritten",
    Action.REFUSE: "refused",
}
_INDENT = " " * 5


def advice_lines(advice: Advice) -> Iterator[Line]:
    """What happens to the mail of the author, the evidence, and the records to publish."""
    reason, domain = advice.judgement.reason, advice.author.domain
    is_rewritten = reason.action is Action.REWRITE
    style = WARNING_HEADING if is_rewritten else GOOD_HEADING
    yield Line.of(Span(f"{domain}: {_OUTCOMES[reason.action]}", style))
    yield from _prose(reason_clause(reason))
    yield BLANK
    yield from brief_evidence(advice.prediction)
    yield from _envelope(advice)
    if advice.judgement.settings.rules.dry_run:
        yield from _prose("rules.dry_run is set: alignd logs this and changes nothing.")
    if advice.alternatives:
        several = len(advice.alternatives) > 1
        yield BLANK
        choice = "one of these records, best first" if several else "this record"
        aim = "To keep the author's name" if is_rewritten else "So that it passes"
        yield from _prose(f"{aim}, {domain} publishes {choice}:")
    for number, alternative in enumerate(advice.alternatives, start=1):
        yield BLANK
        yield from _alternative(number, alternative)
    if advice.cannot is not None:
        yield BLANK
        yield from _prose("No record would help:")
    elif advice.refused:
        yield BLANK
        yield from _prose("What does not help:")
    for why in advice.refused:
        yield from _item(why)


def report_request_lines(domain: Domain, found: ReportRequest | Impossible) -> Iterator[Line]:
    """The records that have reports about *domain* sent to the operator, which are an option."""
    yield BLANK
    if isinstance(found, Impossible):
        yield from _prose(f"Reports about {domain} cannot be asked for: {found.reason}.")
        return
    address = found.address.address
    if found.publication is None and found.permission is None:
        yield from _prose(f"Receivers are asked for reports about {domain} to {address}.")
        return
    yield from _prose(
        f"An option, which no mail depends on: receivers also send their reports about {domain} "
        f"to {address}, if"
    )
    if found.publication:
        yield BLANK
        yield from _record(f"{domain} publishes as", found.publication)
        yield from _detail(
            f"checked: the policy stays {found.policy.value}, and receivers are asked"
        )
        for note in found.notes:
            yield from _item(note)
    if found.permission:
        yield BLANK
        yield from _record("the operator publishes as", found.permission)
        yield from _detail("checked: receivers may then send them (RFC 7489, section 7.1)")
        yield from _item(
            f"or the same at {found.wildcard}, for every domain: alone, since records of single "
            "domains hide it from others"
        )


def _record(title: str, publication: Publication) -> Iterator[Line]:
    yield verbatim(f"{title} {publication.kind.value} record of {publication.name}:", "  ")
    yield from _value(publication)


def _envelope(advice: Advice) -> Iterator[Line]:
    author, elsewhere = advice.author.address, advice.bounces.address
    yield from _prose(f"This is for a message from {author} with the same envelope sender.")
    reason = advice.judgement_of_bounces.reason
    if reason is not advice.judgement.reason:
        outcome = _OUTCOMES[reason.action]
        yield from _prose(
            f"With {elsewhere} as envelope sender it is {outcome}: {reason_clause(reason)}."
        )


def _alternative(number: int, alternative: Alternative) -> Iterator[Line]:
    publication = alternative.publication
    yield verbatim(f"{number}. {publication.kind.value} record of {publication.name}", "  ")
    yield from _value(publication)
    if alternative.checked:
        yield from _detail(f"checked: mail would pass ({alternative.judged[0].reason.value})")
    if alternative.before and alternative.after:
        yield from _item(_lookups(alternative.before, alternative.after))
    for note in alternative.notes:
        yield from _item(note)


def _value(publication: Publication) -> Iterator[Line]:
    yield verbatim(publication.value, _INDENT)
    if publication.replaces:
        yield from _detail("in place of")
        for replaced in publication.replaces:
            yield verbatim(shortened(record_text(replaced), MAX_REPLACED), _INDENT)
    if publication.kind is Kind.TXT and len(publication.value) > MAX_STRING:
        yield from _detail(f"which a zone file holds in strings of at most {MAX_STRING} bytes:")
        yield from (verbatim(line, _INDENT) for line in zone_lines(publication))


def _lookups(before: Cost, after: Cost) -> str:
    return (
        f"DNS lookups: {before.lookups} before, {after.lookups} after (at most {MAX_LOOKUPS}); "
        f"void lookups: {before.void_lookups} before, {after.void_lookups} after "
        f"(at most {MAX_VOID_LOOKUPS})"
    )


def zone_lines(publication: Publication) -> Iterator[str]:
    """The record as a line of a zone file, or several (RFC 1035, section 5.1)."""
    head = f"{publication.name}. {TTL} IN {publication.kind.value}"
    if publication.kind is Kind.CNAME:
        yield f"{head} {publication.value}."
        return
    strings = publication.quoted_strings
    if len(strings) == 1:
        yield f"{head} {strings[0]}"
        return
    yield f"{head} ("
    yield from (f"    {string}" for string in strings)
    yield ")"


def _item(text: str) -> list[Line]:
    return fold(text, "     - ", " " * 7)


def _prose(text: str) -> list[Line]:
    return fold(text, "  ", "  ")


def _detail(text: str) -> list[Line]:
    return fold(text, _INDENT, _INDENT)
