"""Renders what aggregate reports say: the text of `alignd reports`, and its JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from alignd.cli.text import (
    BLANK,
    ERROR,
    GOOD,
    HEADING,
    PLAIN,
    WARNING,
    Line,
    Span,
    Style,
    fold,
    shortened,
)
from alignd.mail.domain import Domain
from alignd.reports.carrier import Doubt
from alignd.reports.ours import Fault, Origin
from alignd.reports.problem import ProblemKind
from alignd.reports.summary import Failure, Figures, Nobody, Summary, Table

_MAX_ROWS = 20
"""Of a table, and of problems; --json has more."""
_HEAD = "{:>9} {:>8} {:>7} {:>11} {:>8}  {}"
_INDENT = "  "
_DKIM = {
    Fault.PASS: "DKIM passes",
    Fault.NONE: "there was no DKIM signature",
    Fault.NOT_ALIGNED: "the DKIM signature is of another domain",
    Fault.DNS: "the receiver could not get the DKIM key",
    Fault.FAIL: "the published DKIM key does not verify the signature",
}
_SPF = {
    Fault.PASS: "SPF passes",
    Fault.NONE: "there was no SPF record",
    Fault.NOT_ALIGNED: "SPF passes for another domain",
    Fault.DNS: "the receiver could not get the SPF record",
    Fault.FAIL: "SPF does not authorise the address",
}
_FIXES = {
    ("DKIM", Fault.NONE): "No signature: see that the signer runs, and signs for that domain.",
    ("DKIM", Fault.FAIL): "A signature that fails: compare the published key with the signer's; "
    "`alignd doctor` does. Else something changes mail behind the signer.",
    ("SPF", Fault.FAIL): "SPF that fails: the record of the envelope sender's domain must have "
    "the address; `alignd domain` makes a customer's.",
}
_DOUBTS = {
    Doubt.NO_MAIL: "a file without the mail that brought it",
    Doubt.NO_AUTHOR: "From of its mail cannot be read",
    Doubt.MAILBOX_PROVIDER: "anybody can have an address there",
    Doubt.FORGEABLE: "no signature of the domain in From passes",
    Doubt.DNS: "DNS failed; try again",
}
_PROBLEMS = {
    ProblemKind.UNREADABLE: "could not be read",
    ProblemKind.NO_REPORT: "not counted, as there is no report in it",
    ProblemKind.TOO_LARGE: "too large",
    ProblemKind.UNSUPPORTED: "packed in a way that is not supported",
    ProblemKind.DAMAGED: "damaged",
    ProblemKind.DOCUMENT_TYPE: "refused, as it declares a document type",
    ProblemKind.INCOMPLETE: "incomplete",
}
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Kept:
    """What was stored in a ledger."""

    new: int = 0
    known: int = 0
    """Reports that were there already."""
    why_not: str = ""
    """Why there is no ledger; empty where there is one."""

    def with_one(self, *, is_new: bool) -> Kept:
        return Kept(self.new + is_new, self.known + (not is_new), self.why_not)


def report_lines(summary: Summary, kept: Kept | None) -> Iterator[Line]:
    """What is wrong first, then the tables, and last what does not count.

    *kept* is None where nothing was to be stored.
    """
    yield from _verdict(summary)
    yield from _failures(summary)
    yield from _read(summary)
    yield from _stored(kept) if kept else ()
    yield from _table("receiver, of rewritten mail", summary.rewritten, str)
    yield from _table("author domain of other mail", summary.domains, _name)
    yield from _sources(summary)
    yield from _unverified(summary)
    yield from _problems(summary)


def _verdict(summary: Summary) -> Iterator[Line]:
    rewritten, others = summary.rewritten.total(), summary.domains.total()
    if rewritten.faults:
        text = f"OUTAGE: {_share(rewritten.faults, rewritten)} rewritten messages fail DMARC."
        yield from fold(text, style=ERROR)
    if others.faults:
        text = f"{_share(others.faults, others)} messages that kept From fail DMARC."
        yield from fold(text, style=ERROR)
    if not summary.counted:
        yield from fold("No report that somebody answers for was read.", style=WARNING)
    elif not summary.has_fault:
        text = f"No fault in {rewritten.messages + others.messages} messages of this relay."
        yield from fold(text, style=GOOD)


def _failures(summary: Summary) -> Iterator[Line]:
    rows = [(failure, each) for failure, each in summary.failures.rows() if each.faults]
    rows.sort(key=lambda row: row[0].origin is not Origin.REWRITTEN)
    for failure, figures in rows[:_MAX_ROWS]:
        start = f"{figures.faults:>9}  "
        text = f"{_name(failure.domain)} from {failure.source}: {_why(failure)}"
        yield from fold(text, start, " " * len(start), ERROR)
    yield from _more(len(rows))
    faults = {("DKIM", each.dkim) for each, _ in rows} | {("SPF", each.spf) for each, _ in rows}
    for fault, fix in _FIXES.items():
        if fault in faults:
            yield from fold(fix)


def _why(failure: Failure) -> str:
    return f"{_DKIM[failure.dkim]}; {_SPF[failure.spf]}"


def _read(summary: Summary) -> Iterator[Line]:
    yield BLANK
    total = summary.receivers.total()
    text = f"{_count(summary.counted, 'report')} counted, of {_count(total.messages, 'message')}"
    if summary.begin is not None and summary.end is not None:
        text += f", {_date(summary.begin)} to {_date(summary.end)} (UTC)"
    yield from fold(f"{text}.", style=HEADING)
    for name, figures in summary.receivers.rows()[:_MAX_ROWS]:
        said = f"{_count(figures.reports, 'report')}, {_count(figures.messages, 'message')}"
        yield from fold(f"{name}: {said}", _INDENT, _INDENT * 2)
    yield from _more(len(summary.receivers.rows()))
    if summary.duplicates:
        yield from fold(f"Copies, which are not counted again: {summary.duplicates}.")
    if summary.unreadable_rows:
        yield from fold(f"{_count(summary.unreadable_rows, 'row')} could not be read.")


def _stored(kept: Kept) -> Iterator[Line]:
    if kept.why_not:
        yield from fold(
            f"Nothing is stored, as there is no ledger: {kept.why_not}. `alignd reports summary` "
            "does not know of these reports then.",
            style=WARNING,
        )
        return
    text = f"Stored in the ledger: {_count(kept.new, 'report')}"
    yield from fold(f"{text}; {kept.known} more had been there." if kept.known else f"{text}.")


def _table(title: str, table: Table[_Key], name: Callable[[_Key], str]) -> Iterator[Line]:
    rows = table.rows()
    if not rows:
        return
    yield BLANK
    head = _HEAD.format("messages", "passes", "fails", "quarantined", "rejected", title)
    yield Line.of(Span(head, HEADING))
    for key, figures in rows[:_MAX_ROWS]:
        yield from _row(name(key), figures)
    hidden = Figures()
    for each in (*(figures for _, figures in rows[_MAX_ROWS:]), table.rest):
        hidden.add(each)
    if hidden.messages:
        yield from _row("all others", hidden)


def _row(name: str, figures: Figures) -> Iterator[Line]:
    share = f"{percent(figures.passed, figures.messages)}"
    numbers = (figures.messages, share, figures.failed, figures.quarantined, figures.rejected)
    start = _HEAD.format(*numbers, "")
    notes = [
        f"{count} {said}"
        for count, said in (
            (figures.foretold, "left alone by a rule"),
            (figures.unknown, "without a result"),
        )
        if count
    ]
    text = f"{name} ({', '.join(notes)})" if notes else name
    yield from fold(text, start, " " * len(start), ERROR if figures.faults else PLAIN)


def _sources(summary: Summary) -> Iterator[Line]:
    yield from _addresses(
        "Addresses of ours that the configuration lacks: a key of ours signs there, and SPF "
        "authorises them. Add those to relay.addresses that you know for this relay's: a "
        "customer's own server may forward there, and whoever sends a report writes what he "
        "likes.",
        summary.unlisted,
        WARNING,
    )
    yield from _addresses(
        "Forwarded, which is no fault: our signature passes, SPF does not authorise the address.",
        summary.forwarded,
        PLAIN,
    )
    if foreign := summary.foreign.messages:
        yield BLANK
        count = _count(foreign, "message")
        yield from fold(f"{count} came from elsewhere without a signature of ours.")


def _addresses(title: str, table: Table[Any], style: Style) -> Iterator[Line]:
    rows = table.rows()
    if not rows:
        return
    yield BLANK
    yield from fold(title, style=style)
    for address, figures in rows[:_MAX_ROWS]:
        yield from fold(f"{address}: {_count(figures.messages, 'message')}", _INDENT, _INDENT * 2)
    yield from _more(len(rows))


def _unverified(summary: Summary) -> Iterator[Line]:
    rows = summary.unverified.rows()
    if not rows:
        return
    yield BLANK
    count = _count(summary.unverified.total().reports, "report")
    yield from fold(f"{count} that anybody could have written, so that nothing above has them:")
    for nobody, figures in rows[:_MAX_ROWS]:
        said = f"{_count(figures.reports, 'report')}, {_count(figures.messages, 'message')}"
        if figures.failed:
            said += f", {figures.failed} of ours said to fail"
        why = _DOUBTS[nobody.why] + (f" ({nobody.detail})" if nobody.detail else "")
        yield from fold(f"{shortened(nobody.organization)}: {said}: {why}", _INDENT, _INDENT * 2)
    yield from _more(len(rows))


def _problems(summary: Summary) -> Iterator[Line]:
    if not summary.skipped:
        return
    yield BLANK
    said = ", ".join(f"{count} {_PROBLEMS[kind]}" for kind, count in summary.skipped.most_common())
    yield from fold(f"Files and messages: {said}:")
    for each in summary.problems[:_MAX_ROWS]:
        text = f"{each.name}: {each.problem.text}"
        yield from fold(shortened(text), _INDENT, _INDENT * 2)
    yield from _more(summary.skipped.total())


def _more(count: int) -> Iterator[Line]:
    if count > _MAX_ROWS:
        yield Line.of(f"{_INDENT}and {count - _MAX_ROWS} more")


def report_json(summary: Summary, kept: Kept | None) -> dict[str, Any]:
    """One object; its words are those of the enumerations."""
    return {
        "reports": {
            "counted": summary.counted,
            "unverified": summary.unverified.total().reports,
            "duplicates": summary.duplicates,
            "unreadable_rows": summary.unreadable_rows,
            "begin": summary.begin,
            "end": summary.end,
        },
        "stored": {"new": kept.new, "known": kept.known} if kept and not kept.why_not else None,
        "receivers": _rows(summary.receivers, _named("receiver"), _size),
        "rewritten": _rows(summary.rewritten, _named("receiver")),
        "domains": _rows(summary.domains, lambda key: {"author_domain": key and key.name}),
        "failures": _rows(summary.failures, _failure),
        "unlisted": _rows(summary.unlisted, _named("address")),
        "forwarded": _rows(summary.forwarded, _named("address")),
        "foreign": _figures(summary.foreign),
        "unverified": _rows(summary.unverified, _nobody, _claims),
        "troubles": {kind.value: summary.skipped[kind] for kind in ProblemKind},
        "problems": [
            {"name": each.name, "trouble": each.problem.kind.value, "problem": each.problem.text}
            for each in summary.problems
        ],
    }


def _rows(
    table: Table[_Key],
    named: Callable[[_Key], dict[str, Any]],
    figures_of: Callable[[Figures], dict[str, int]] | None = None,
) -> dict[str, Any]:
    figures_of = figures_of or _figures
    rows = [named(key) | figures_of(figures) for key, figures in table.rows()]
    return {"rows": rows, "rest": figures_of(table.rest)}


def _named(name: str) -> Callable[[object], dict[str, Any]]:
    return lambda key: {name: str(key)}


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "origin": failure.origin.value,
        "header_from": failure.domain.name if failure.domain else None,
        "address": str(failure.source),
        "dkim": failure.dkim.value,
        "spf": failure.spf.value,
    }


def _nobody(nobody: Nobody) -> dict[str, Any]:
    return {
        "organization": nobody.organization,
        "why": nobody.why.value,
        "detail": nobody.detail,
    }


def _size(figures: Figures) -> dict[str, int]:
    return {"reports": figures.reports, "messages": figures.messages}


def _claims(figures: Figures) -> dict[str, int]:
    return _size(figures) | {"failed": figures.failed}


def _figures(figures: Figures) -> dict[str, int]:
    return {
        "messages": figures.messages,
        "passed": figures.passed,
        "failed": figures.failed,
        "foretold": figures.foretold,
        "unknown": figures.unknown,
        "quarantined": figures.quarantined,
        "rejected": figures.rejected,
    }


def _name(domain: Domain | None) -> str:
    return domain.name if domain else "(not said)"


def _share(part: int, figures: Figures) -> str:
    return f"{part} of {figures.messages}"


def percent(part: int, whole: int) -> str:
    """Rounded down, so that what is not all never looks so."""
    if not whole:
        return "-"
    tenths = part * 1000 // whole
    return f"{tenths // 10}.{tenths % 10} %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _date(when: int) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M}"
