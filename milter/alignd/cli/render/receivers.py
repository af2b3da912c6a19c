"""Renders what receivers reported beside what was predicted: `alignd reports summary`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from alignd.advice.alternatives import Advice
from alignd.cli.render.ledger import plural
from alignd.cli.render.reports import percent
from alignd.cli.text import (
    BLANK,
    ERROR,
    GOOD,
    HEADING,
    PLAIN,
    WARNING,
    Line,
    Span,
    fold,
    verbatim,
)
from alignd.reports.joined import Joined
from alignd.reports.receivers.disagreements import (
    Cause,
    Disagreement,
    Kind,
    fix_for,
    meaning_of,
)
from alignd.reports.receivers.needless import Candidate, Needless
from alignd.reports.receivers.predicted import Undecided
from alignd.reports.receivers.shares import Held

Records = Mapping[str, Advice]
"""What author domains can publish."""

_MAX_ROWS = 20
"""Of a table; --json has all."""
_MAX_JSON = 1_000
_INDENT = "  "
_HEAD = "{:>9} {:>8} {:>10}  {}"
_WHY = {
    Undecided.CHANGED: "its records or its rules changed on one of these days",
    Undecided.UNPREDICTED: "the ledger knows nothing of such mail on these days",
    Undecided.TOO_LONG: "the reports are of too long a time",
}
_KINDS = {
    Kind.OUTAGE: "OUTAGE: {} of rewritten mail failed DMARC.",
    Kind.LOST: "{} that should have passed DMARC in the author's name failed.",
    Kind.UNLISTED: "{} left from addresses that the configuration lacks.",
}


def joined_lines(joined: Joined, records: Records) -> Iterator[Line]:
    """What contradicts the predictions first, then shares, and last what could be better."""
    yield from _verdict(joined)
    yield from _disagreements(joined.disagreements)
    yield from _table("receiver, of rewritten mail", joined.rewritten)
    yield from _table("receiver, of mail that kept its From", joined.left_alone)
    yield from _table("author domain of mail that kept its From", joined.domains)
    yield from _precision(joined)
    yield from _forwarded(joined)
    yield from _undecided(joined)
    yield from _needless(joined.needless)
    yield from _candidates(joined.candidates, records)


def _verdict(joined: Joined) -> Iterator[Line]:
    for kind in Kind:
        messages = sum(each.messages for each in joined.disagreements if each.kind is kind)
        if messages:
            style = ERROR if kind.is_failure else WARNING
            text = _KINDS[kind].format(plural(messages, "message"))
            yield from fold(text, style=style)
    if not joined.reports:
        yield from fold(
            "No report of that time is stored: `alignd reports` reads them.", style=WARNING
        )
    elif not joined.has_failure:
        yield from fold("Receivers passed all that was to pass.", style=GOOD)
    if joined.reports:
        end = f"{datetime.fromtimestamp(joined.newest, UTC):%Y-%m-%d %H:%M}"
        yield from fold(f"{plural(joined.reports, 'report')}; the latest ends {end} (UTC).")


def _disagreements(rows: tuple[Disagreement, ...]) -> Iterator[Line]:
    if not rows:
        return
    yield BLANK
    for each in rows[:_MAX_ROWS]:
        start = f"{each.messages:>9,}  "
        style = ERROR if each.kind.is_failure else WARNING
        place = f" from {each.address}" if each.address else ""
        whose = f"{each.domain or '(not said)'}{place}, by {each.receiver}"
        text = f"{whose}: {meaning_of(each.cause)}"
        yield from fold(text, start, " " * len(start), style)
    yield from _more(len(rows))
    for cause in Cause:
        if any(each.cause is cause for each in rows):
            yield from fold(fix_for(cause), "- ", _INDENT)


def _table(title: str, rows: tuple[Held, ...]) -> Iterator[Line]:
    if not rows:
        return
    yield BLANK
    head = _HEAD.format("messages", "passed", "predicted", title)
    yield Line.of(Span(head, HEADING))
    for held in rows[:_MAX_ROWS]:
        told = held.told
        # Thousandths of messages: of a few, shares of a message count.
        expected = percent(int(held.expected * 1000 + 1e-6), told * 1000)
        cells = f"{told:,}", percent(held.passed, told), expected
        start = _HEAD.format(*cells, "")
        note = f" ({plural(held.unknown, 'message')} without a result)" if held.unknown else ""
        yield from fold(f"{held.name or '(not said)'}{note}", start, " " * len(start), PLAIN)
    yield from _more(len(rows))


def _precision(joined: Joined) -> Iterator[Line]:
    if not joined.months:
        return
    yield BLANK
    yield from fold(
        "How often it was right: of mail left alone because it aligns, what receivers passed",
        style=HEADING,
    )
    for month in joined.months:
        share = percent(month.passed, month.messages)
        yield from fold(f"{month.month}: {share} of {plural(month.messages, 'message')}", _INDENT)


def _forwarded(joined: Joined) -> Iterator[Line]:
    if not joined.forwarded:
        return
    yield BLANK
    yield from fold("Forwarded by others, which is no fault", style=HEADING)
    for each in joined.forwarded[:_MAX_ROWS]:
        text = f"{each.domain or '(not said)'}: {plural(each.messages, 'message')}"
        yield from fold(text, _INDENT, _INDENT * 2)
    yield from _more(len(joined.forwarded))


def _undecided(joined: Joined) -> Iterator[Line]:
    if not joined.undecided:
        return
    yield BLANK
    yield from fold("What decides nothing", style=HEADING)
    for each in joined.undecided[:_MAX_ROWS]:
        failed = f", {each.failed:,} of them failed" if each.failed else ""
        text = f"{each.domain or '(not said)'}: {plural(each.messages, 'message')}{failed}: "
        yield from fold(f"{text}{_WHY[each.why]}", _INDENT, _INDENT * 2)
    yield from _more(len(joined.undecided))


def _needless(needless: Needless) -> Iterator[Line]:
    if not needless.rewritten:
        return
    yield BLANK
    yield from fold(
        f"Rewritten needlessly, an estimate: {needless.messages:,} of "
        f"{plural(needless.rewritten, 'message')}",
        style=HEADING,
    )
    for messages, why in (
        (needless.while_passing, "when the records of the domain were good already"),
        (needless.without_dns, "when DNS did not answer, by what the domain has otherwise"),
    ):
        if messages:
            yield from fold(f"{messages:,} {why}", _INDENT, _INDENT * 2)


def _candidates(candidates: tuple[Candidate, ...], records: Records) -> Iterator[Line]:
    if not candidates:
        return
    yield BLANK
    yield from fold("Could stop being rewritten, with a record", style=HEADING)
    for each in candidates[:_MAX_ROWS]:
        text = f"{each.domain}: {plural(each.messages, 'message')} rewritten, {each.reason}"
        yield from fold(text, _INDENT, _INDENT * 2)
        if advice := records.get(each.domain):
            yield from _record(advice)
    yield from _more(len(candidates))
    yield from fold("`alignd domain` makes the record of each, and says what else would do.")


def _record(advice: Advice) -> Iterator[Line]:
    if publication := _publication(advice):
        name, value = publication["name"], publication["value"]
        yield verbatim(f"{publication['type']} record of {name}", _INDENT * 3)
        yield verbatim(value, _INDENT * 3)
    elif advice.authenticates:
        yield from fold("its records are good by now", _INDENT * 3, _INDENT * 3)
    else:
        why = "DNS does not answer" if advice.is_unknown else advice.cannot or "no record helps"
        yield from fold(why, _INDENT * 3, _INDENT * 3)


def _publication(advice: Advice | None) -> dict[str, str] | None:
    """The best record, if there is one."""
    for each in advice.alternatives if advice else ():
        found = each.publication
        return {"type": found.kind.value, "name": found.name, "value": found.value}
    return None


def _more(rows: int) -> Iterator[Line]:
    if rows > _MAX_ROWS:
        yield from fold(f"and {rows - _MAX_ROWS:,} more", _INDENT)


def joined_json(joined: Joined, records: Records) -> dict[str, Any]:
    """One object; its words are those of the enumerations."""
    return {
        "reports": joined.reports,
        "newest": joined.newest or None,
        "rewritten": [_held("receiver", held) for held in joined.rewritten[:_MAX_JSON]],
        "left_alone": [_held("receiver", held) for held in joined.left_alone[:_MAX_JSON]],
        "domains": [_held("author_domain", held) for held in joined.domains[:_MAX_JSON]],
        "disagreements": list(map(_disagreement, joined.disagreements[:_MAX_JSON])),
        "forwarded": [
            {"author_domain": each.domain, "messages": each.messages}
            for each in joined.forwarded[:_MAX_JSON]
        ],
        "undecided": [
            {
                "author_domain": each.domain,
                "why": each.why.value,
                "messages": each.messages,
                "failed": each.failed,
            }
            for each in joined.undecided[:_MAX_JSON]
        ],
        "precision": [
            {
                "month": month.month,
                "passed": month.passed,
                "messages": month.messages,
                "share": month.precision,
            }
            for month in joined.months
        ],
        "needless": {
            "messages": joined.needless.messages,
            "is_estimate": True,
            "rewritten": joined.needless.rewritten,
            "while_passing": joined.needless.while_passing,
            "without_dns": joined.needless.without_dns,
        },
        "could_stop": list(_could_stop(joined.candidates[:_MAX_JSON], records)),
    }


def _held(name: str, held: Held) -> dict[str, Any]:
    return {
        name: held.name,
        "passed": held.passed,
        "failed": held.failed,
        "unknown": held.unknown,
        "share": held.share,
        "predicted": held.predicted,
    }


def _disagreement(each: Disagreement) -> dict[str, Any]:
    return {
        "kind": each.kind.value,
        "cause": each.cause.value,
        "author_domain": each.domain,
        "receiver": each.receiver,
        "address": each.address,
        "dkim": each.dkim,
        "spf": each.spf,
        "messages": each.messages,
        "meaning": meaning_of(each.cause),
        "fix": fix_for(each.cause),
    }


def _could_stop(candidates: Iterable[Candidate], records: Records) -> Iterator[dict[str, Any]]:
    for each in candidates:
        yield {
            "author_domain": each.domain,
            "messages": each.messages,
            "reason": each.reason,
            "record": _publication(records.get(each.domain)),
        }
