"""The records that a domain can publish, each as it is entered at its DNS host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alignd.advice.alternatives import Alternative
from alignd.advice.publication import TTL, Publication
from alignd.advice.spf_cost import MAX_LOOKUPS
from alignd.languages.texts import Texts
from alignd.letter.entry import Entry
from alignd.letter.hosting import UNKNOWN_HOSTING, Hosting
from alignd.letter.layout.blocks import Block, Form, Heading, Linked, Listed, Paragraph, Verbatim
from alignd.letter.proof import how_to_see
from alignd.letter.record import record, replaced
from alignd.letter.traps import traps
from alignd.letter.where import where_to_enter
from alignd.mail.printable import record_text
from alignd.web.desk.examined import Examined

_TERM = re.compile(r"\s+|\S+")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of what a letter says, for a template: one of its fields has something."""

    text: str = ""
    url: str = ""
    """What *text* leads to."""
    lines: tuple[str, ...] = ()
    """To be compared or copied, each as it stands."""
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldView:
    """A field of the DNS host's form."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a value."""

    text: str
    is_new: bool
    """Whether the record that it replaces has it not."""


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record to publish."""

    number: int
    """From 1, the best first; `alignd domain` counts the same."""
    type: str
    name: str
    value: str
    """As `alignd domain` proves it."""
    pieces: tuple[Piece, ...]
    """The same value, with what is new in it."""
    ttl: int
    fields: tuple[FieldView, ...]
    """The same as the form of the DNS host wants it."""
    host: str
    """The DNS host; empty where it is not known."""
    replaced: tuple[Part, ...]
    where: tuple[Part, ...]
    traps: tuple[Part, ...]
    proof: tuple[Part, ...]
    """How the admin sees that it worked, and whom he tells."""
    checked: str = ""
    """A sentence; empty where mail was not seen to pass with it."""
    lookups: str = ""
    """A sentence; empty where SPF has no part in it."""
    notes: tuple[str, ...] = ()
    """For supporters, in English, in the words of `alignd domain`."""

    @property
    def value_id(self) -> str:
        """The id of what is copied."""
        return f"record-{self.number}"


def records_of(examined: Examined, texts: Texts) -> tuple[RecordView, ...]:
    """The records of the advice, best first."""
    alternatives = examined.advice.alternatives
    hostings = examined.hostings or (examined.hosting,) * len(alternatives)
    padded = (*hostings, *(UNKNOWN_HOSTING,) * len(alternatives))
    return tuple(
        _record(number, alternative, hosting, texts)
        for number, (alternative, hosting) in enumerate(
            zip(alternatives, padded, strict=False), start=1
        )
    )


def _record(number: int, alternative: Alternative, hosting: Hosting, texts: Texts) -> RecordView:
    publication, entry = alternative.publication, Entry(alternative.publication, hosting)
    fields = record(entry, texts).fields
    return RecordView(
        number=number,
        type=publication.kind.value,
        name=publication.name,
        value=publication.value,
        pieces=tuple(_pieces(publication)),
        ttl=TTL,
        fields=tuple(FieldView(each.label, each.value, each.note) for each in fields),
        host=hosting.host.name if hosting.host else "",
        replaced=parts(replaced(entry, texts)),
        where=parts(where_to_enter(entry, texts)),
        traps=parts(traps(entry, texts)),
        proof=parts(how_to_see(entry, alternative, texts, link="")),
        checked=texts.text("Checked: mail would pass.") if alternative.checked else "",
        lookups=_lookups(alternative, texts),
        notes=alternative.notes,
    )


def _pieces(publication: Publication) -> Iterator[Piece]:
    old = {term for each in publication.replaces for term in record_text(each).lower().split()}
    for piece in _TERM.findall(publication.value):
        is_new = bool(old) and not piece.isspace() and piece.lower() not in old
        yield Piece(piece, is_new)


def _lookups(alternative: Alternative, texts: Texts) -> str:
    before, after = alternative.before, alternative.after
    if before is None or after is None:
        return ""
    return texts.text(
        "DNS lookups of the SPF record: {before} before, {after} after; {most} are allowed.",
        before=texts.number(before.lookups),
        after=texts.number(after.lookups),
        most=texts.number(MAX_LOOKUPS),
    )


def parts(blocks: Iterable[Block]) -> tuple[Part, ...]:
    """What a letter says, for a template."""
    return tuple(part for block in blocks for part in _parts(block))


def _parts(block: Block) -> Iterator[Part]:
    match block:
        case Heading(text):
            yield Part(text)
        case Paragraph(text, url):
            yield Part(text, url)
        case Verbatim(lines):
            yield Part(lines=lines)
        case Listed(texts):
            yield Part(items=texts)
        case Linked(paragraphs):
            yield from (Part(each.text, each.url) for each in paragraphs)
        case Form(fields):
            yield Part(lines=tuple(f"{each.label}: {each.value}" for each in fields))
