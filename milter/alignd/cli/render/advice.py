"""The advice for one author domain, as a person reads it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from alignd.advice.alternatives import Advice, Alternative, Cost
from alignd.advice.publication import TTL, Kind, Publication
from alignd.advice.spf_cost import MAX_LOOKUPS, MAX_VOID_LOOKUPS
from alignd.cli.render.json import record_text
from alignd.cli.text import WIDTH
from alignd.judgement.prediction import Prediction
from alignd.judgement.reasons import Action
from alignd.mail.printable import printable
from alignd.mailauth.dmarc import AlignmentMode, DmarcRecord, record_name
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.spf_record import MAX_STRING, strings_of

MAX_QUOTE = 1000
"""Characters that are shown of a record from DNS; of an explanation, a fifth of them."""

_ACTIONS = {
    Action.SKIP: "left alone",
    Action.PASS: "left alone",
    Action.ENVELOPE: "left alone, and only its envelope sender moves",
    Action.REWRITE: "rewritten",
}


def advice_story(advice: Advice) -> Iterator[str]:
    """The lines for one author domain; the first is its headline."""
    yield from map(printable, _story(advice))


def _story(advice: Advice) -> Iterator[str]:
    reason, domain = advice.judgement.reason, advice.author.domain
    rewritten = reason.action is Action.REWRITE
    yield f"{domain}: {_ACTIONS[reason.action]}"
    yield from _prose(f"{reason.text.meaning} ({reason.value})")
    yield ""
    yield from _checks(advice.prediction)
    yield from _envelope(advice)
    if advice.judgement.settings.rules.dry_run:
        yield from _prose("rules.dry_run is set: alignd logs this, and changes nothing.")
    if advice.alternatives:
        several = len(advice.alternatives) > 1
        yield ""
        choice = "one of these records, best first" if several else "this record"
        aim = "To keep the author's name" if rewritten else "So that it passes"
        yield from _prose(f"{aim}, {domain} publishes {choice}:")
    for number, alternative in enumerate(advice.alternatives, start=1):
        yield ""
        yield from _alternative(number, alternative)
    if advice.cannot is not None:
        yield ""
        yield from _prose("There is no record that would help:")
    elif advice.refused:
        yield ""
        yield from _prose("What does not help:")
    for why in advice.refused:
        yield from _item(why)


def _checks(prediction: Prediction) -> Iterator[str]:
    for title, spf in zip(_titles("SPF"), prediction.spf, strict=False):
        result = f"{spf.result.value}: {_cut(spf.explanation)}"
        yield from _prose(f"{title} from {spf.address}: {result}", hanging=9)
    signatures = tuple(zip(prediction.dkim, prediction.dkim_aligned, strict=True))
    if not signatures:
        yield "  DKIM   no signature that alignd knows of"
    for title, (dkim, aligned) in zip(_titles("DKIM"), signatures, strict=False):
        name = f"{dkim.selector} of {dkim.domain or 'no domain'}"
        told = f"{dkim.result.value}: {_cut(dkim.explanation)}; aligns: {aligned.value}"
        yield from _prose(f"{title} {name}: {told}", hanging=9)
    yield from _prose(f"DMARC  {_policy(prediction)}", hanging=9)


def _titles(mechanism: str) -> Iterator[str]:
    yield mechanism.ljust(6)
    while True:
        yield " " * 6


def _policy(prediction: Prediction) -> str:
    place = f" at {record_name(prediction.record_domain)}" if prediction.record_domain else ""
    policy = f"policy {prediction.policy.value}{place}"
    record = prediction.rfc9989.discovery.record or prediction.rfc7489.discovery.record
    strict = ", ".join(_strict(record)) if record else ""
    if strict:
        policy += f"; strict alignment ({strict}): {prediction.author_domain} itself has to vouch"
    organization = prediction.rfc9989.discovery.organizational_domain
    if isinstance(organization, LookupFailed):
        return f"{policy}; organization unknown: {organization.reason}"
    if organization != prediction.author_domain:
        policy += f"; organization {organization}"
    return policy


def _strict(record: DmarcRecord) -> Iterator[str]:
    if record.spf_alignment is AlignmentMode.STRICT:
        yield "aspf=s"
    if record.dkim_alignment is AlignmentMode.STRICT:
        yield "adkim=s"


def _envelope(advice: Advice) -> Iterator[str]:
    author, elsewhere = advice.author.address, advice.bounces.address
    yield from _prose(f"This is for a message from {author}, with that as envelope sender too.")
    reason = advice.judgement_of_bounces.reason
    if reason is not advice.judgement.reason:
        yield from _prose(
            f"With {elsewhere} as envelope sender it is {_ACTIONS[reason.action]}: "
            f"{reason.text.meaning} ({reason.value})."
        )


def _alternative(number: int, alternative: Alternative) -> Iterator[str]:
    publication = alternative.publication
    yield from _prose(
        f"{number}. {publication.kind.value} record of {publication.name}", hanging=5
    )
    yield f"     {publication.value}"
    if publication.replaces:
        yield from _prose("   in the place of", hanging=5)
        for replaced in publication.replaces:
            yield f"     {_cut(record_text(replaced), MAX_QUOTE)}"
    if publication.kind is Kind.TXT and len(publication.value) > MAX_STRING:
        yield from _prose(
            f"   which a zone file has in strings of at most {MAX_STRING} bytes:", hanging=5
        )
        yield from (f"     {line}" for line in zone_lines(publication))
    if alternative.checked:
        yield f"     checked: mail would pass ({alternative.judged[0].reason.value})"
    if alternative.before and alternative.after:
        yield from _item(_counted(alternative.before, alternative.after))
    for note in alternative.notes:
        yield from _item(note)


def _counted(before: Cost, after: Cost) -> str:
    return (
        f"DNS lookups: {before.lookups} before, {after.lookups} after (at most {MAX_LOOKUPS}); "
        f"void lookups: {before.void_lookups} before, {after.void_lookups} after "
        f"(at most {MAX_VOID_LOOKUPS})"
    )


def zone_lines(publication: Publication) -> Iterator[str]:
    """The record as a master file has it (RFC 1035, section 5.1)."""
    head = f"{publication.name}. {TTL} IN {publication.kind.value}"
    if publication.kind is Kind.CNAME:
        yield f"{head} {publication.value}."
        return
    strings = [_quoted(string) for string in strings_of(publication.value)]
    if len(strings) == 1:
        yield f"{head} {strings[0]}"
        return
    yield f"{head} ("
    yield from (f"    {string}" for string in strings)
    yield ")"


def _quoted(string: str) -> str:
    escaped = string.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _item(text: str) -> Iterator[str]:
    yield from _prose(f"   - {text}", hanging=7)


def _prose(text: str, hanging: int = 2) -> Iterator[str]:
    """*text* in lines of 80 columns, the later ones *hanging*."""
    yield from textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent="  ",
        subsequent_indent=" " * hanging,
        break_on_hyphens=False,
    )


def _cut(text: str, length: int = MAX_QUOTE // 5) -> str:
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"
