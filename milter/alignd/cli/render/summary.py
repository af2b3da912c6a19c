"""Renders the summary of `alignd replay`."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.cli.text import BLANK, HEADING, Line, Span, fold, shortened
from alignd.judgement.reasons import OUTBOUND_ACTIONS
from alignd.mail_store.messages import ProblemKind
from alignd.replay.summary import SenderSource, Summary

_SOURCES = {
    SenderSource.OPTION: "given by --mail-from",
    SenderSource.RETURN_PATH: "taken from Return-Path",
    SenderSource.AUTHOR: "assumed to be the author",
    SenderSource.NOTHING: "assumed to be null, as there is no author",
}
_PROBLEMS = {
    ProblemKind.BROKEN: "not counted, as they are no messages",
    ProblemKind.UNREADABLE: "could not be read",
    ProblemKind.FAILED: "could not be judged, which is a bug: please report them",
}
_ROW = "{:>8}  {:<8}  {:<23}  {:<10}  {}"


def summary_lines(summary: Summary, *, is_dry: bool) -> Iterator[Line]:
    """A table by author domain, the totals, and the problems."""
    yield from _table(summary)
    yield BLANK
    actions = summary.totals(lambda row: row.action)
    of_each = ", ".join(f"{actions[action]} {action.value}" for action in OUTBOUND_ACTIONS)
    yield from fold(f"{summary.messages} messages: {of_each}", style=HEADING)
    for source, count in summary.senders.most_common():
        yield from fold(f"The envelope sender of {count} was {_SOURCES[source]}.")
    if is_dry:
        yield from fold("rules.dry_run is set: the milter would log this and change nothing.")
    yield from _problems(summary)


def _table(summary: Summary) -> Iterator[Line]:
    titles = _ROW.format("messages", "action", "reason", "policy", "author domain")
    yield Line.of(Span(titles, HEADING))
    for domain, rows in summary.by_author_domain():
        for row, count in rows:
            words = (row.action.value, row.reason.value, row.policy.value)
            start = _ROW.format(count, *words, "")
            yield from fold(domain.name if domain else "(unreadable)", start, " " * len(start))


def _problems(summary: Summary) -> Iterator[Line]:
    for kind, count in summary.skipped.most_common():
        yield from fold(f"{count} {_PROBLEMS[kind]}:")
        named = [problem for problem in summary.problems if problem.kind is kind]
        for problem in named:
            yield from fold(shortened(f"{problem.name}: {problem.text}"), "  ", "    ")
        if len(named) < count:
            yield Line.of(f"  and {count - len(named)} more")
