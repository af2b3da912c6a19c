"""The digest: what happened to author domains in a week, in domains and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alignd.digest.facts import Facts
from alignd.digest.sentences import (
    say_change,
    say_kind,
    say_rewritten,
    say_silent,
    say_what_helps,
)
from alignd.digest.summary import Change, Summary, summarise
from alignd.languages.texts import Texts
from alignd.ledger.event import EventKind
from alignd.letter.layout.blocks import Block, Field, Form, Heading, Linked, Listed, Paragraph
from alignd.letter.layout.page import as_html
from alignd.letter.layout.plain_text import as_text
from alignd.mail.percent_encoding import percent_encoded
from alignd.mail.printable import printable

MAX_LISTED = 20
"""Of each kind; the rest is a number, so that a bad week makes no mail of megabytes."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest, ready to be read."""

    summary: Summary
    subject: str
    text: str
    html: str
    """A whole page."""


def digest(facts: Facts, texts: Texts, page: str = "") -> Digest:
    """Write the digest of *facts*; *page* is the URL of the list of domains, if there is one."""
    summary = summarise(facts)
    blocks = tuple(_blocks(summary, texts, page))
    subject = _subject(summary, texts)
    return Digest(summary, subject, as_text(blocks), as_html(subject, blocks, texts))


def _subject(summary: Summary, texts: Texts) -> str:
    last = texts.date(summary.week.last_day)
    if summary.is_empty:
        return texts.text("Helpdesk mail until {last}: nothing happened", last=last)
    return texts.plural(
        "Helpdesk mail until {last}: {n} message, rewritten {percent}%, began {began}, "
        "stopped {stopped}",
        "Helpdesk mail until {last}: {n} messages, rewritten {percent}%, began {began}, "
        "stopped {stopped}",
        summary.numbers.messages,
        last=last,
        percent=summary.numbers.percent,
        began=texts.number(summary.count(EventKind.BEGAN)),
        stopped=texts.number(summary.count(EventKind.STOPPED)),
    )


def _blocks(summary: Summary, texts: Texts, page: str) -> Iterator[Block]:
    days = {
        "first": texts.date(summary.week.since),
        "last": texts.date(summary.week.last_day),
    }
    if summary.is_empty:
        yield Paragraph(
            texts.text(
                "From {first} to {last} there was no helpdesk mail, and nothing changed.", **days
            )
        )
        return
    yield Paragraph(_opening(summary, texts, days))
    yield _numbers(summary, texts)
    yield Heading(texts.text("What changed"))
    yield from _changes(summary, texts, page)
    if summary.most_rewritten:
        yield Heading(texts.text("The most rewritten domains"))
        yield from _most_rewritten(summary, texts, page)
    if summary.silent_relays:
        yield Heading(texts.text("Silent relays"))
        said = [say_silent(relay, texts) for relay in summary.silent_relays]
        yield Listed((*said[:MAX_LISTED], *_and_more(said, texts)))
    if page:
        yield Paragraph(texts.text("All domains are on this page:"), page)


def _opening(summary: Summary, texts: Texts, days: dict[str, str]) -> str:
    if summary.tenant is None:
        return texts.text("The helpdesk mail from {first} to {last} (UTC).", **days)
    return texts.text(
        "The helpdesk mail of the tenant {tenant} from {first} to {last} (UTC).",
        tenant=printable(summary.tenant),
        **days,
    )


def _numbers(summary: Summary, texts: Texts) -> Form:
    now, before = summary.numbers, summary.before

    def field(label: str, value: str, value_before: str) -> Field:
        return Field(label, value, texts.text("the week before: {number}", number=value_before))

    def share(rewritten: int, percent: int) -> str:
        return texts.text(
            "{rewritten}, {percent}%", rewritten=texts.number(rewritten), percent=percent
        )

    return Form(
        (
            field(
                texts.text("Messages"), texts.number(now.messages), texts.number(before.messages)
            ),
            field(
                texts.text("Rewritten"),
                share(now.rewritten, now.percent),
                share(before.rewritten, before.percent),
            ),
            field(
                texts.text("Author domains"),
                texts.number(now.domains),
                texts.number(before.domains),
            ),
        )
    )


def _changes(summary: Summary, texts: Texts, page: str) -> Iterator[Block]:
    if not summary.changes:
        yield Paragraph(texts.text("Nothing changed."))
    for kind, changes in summary.changes.items():
        yield Paragraph(say_kind(kind, len(changes), texts))
        yield Linked(_listed(kind, changes, texts, page))
    if not summary.has_all_changes:
        yield Paragraph(texts.text("There were more changes than are counted here."))


def _listed(
    kind: EventKind, changes: Sequence[Change], texts: Texts, page: str
) -> tuple[Paragraph, ...]:
    return (
        *(
            Paragraph(say_change(kind, change, texts), _page_of(change.domain, page))
            for change in changes[:MAX_LISTED]
        ),
        *map(Paragraph, _and_more(changes, texts)),
    )


def _and_more(everything: Sequence[object], texts: Texts) -> list[str]:
    more = len(everything) - MAX_LISTED
    return [texts.plural("and {n} more", "and {n} more", more)] if more > 0 else []


def _most_rewritten(summary: Summary, texts: Texts, page: str) -> Iterator[Block]:
    for found in summary.most_rewritten:
        sentences = say_rewritten(found, texts), say_what_helps(found.reason, texts)
        yield Paragraph(" ".join(sentences), _page_of(found.domain, page))
    if any(found.reason for found in summary.most_rewritten):
        yield Paragraph(
            texts.text("`alignd domain NAME` asks DNS, and says which record helps a domain.")
        )


def _page_of(domain: str, page: str) -> str:
    return f"{page}/domains/{percent_encoded(printable(domain))}" if page else ""
