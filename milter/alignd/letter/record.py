"""The record, field by field, and the records that it replaces."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.advice.publication import TTL
from alignd.languages.texts import Texts
from alignd.letter.entry import Entry
from alignd.letter.layout.blocks import Block, Field, Form, Paragraph, Verbatim
from alignd.mail.printable import printable, record_text

MAX_REPLACED = 1000
"""Characters shown of a record that is replaced: enough to recognise it."""
_MAX_TERMS, _MAX_TERM = 10, 80


def record(entry: Entry, texts: Texts) -> Form:
    """The fields of the form, as the DNS host wants them."""
    publication, host = entry.publication, entry.hosting.host
    name_field, value_field = texts.text("Name"), texts.text("Value")
    if host and host.name_field:
        name_field = texts.text("Name (the field “{field}”)", field=host.name_field)
    if host and host.value_field:
        value_field = texts.text("Value (the field “{field}”)", field=host.value_field)
    return Form(
        (
            Field(texts.text("Type"), publication.kind.value),
            _name(entry, name_field, texts),
            Field(value_field, entry.value),
            Field(
                "TTL",
                str(TTL),
                texts.text("in seconds: an hour; what your DNS host suggests is fine as well"),
            ),
        )
    )


def _name(entry: Entry, label: str, texts: Texts) -> Field:
    whole = entry.publication.name
    if entry.name is None:
        return Field(label, whole, texts.text("the whole name; see below"))
    if not entry.name:
        return Field(label, "", texts.text("leave it empty: the record is for {name}", name=whole))
    return Field(label, entry.name, texts.text("the record is for {name}", name=whole))


def replaced(entry: Entry, texts: Texts) -> Iterator[Block]:
    """What becomes of the records that have the name now."""
    publication = entry.publication
    if publication.replaces:
        yield Paragraph(_in_place_of(entry, len(publication.replaces), texts))
        yield Verbatim(tuple(_shown(each) for each in publication.replaces))
    if publication.name.startswith("*."):
        yield Paragraph(
            texts.text(
                "The wildcard {name} answers for your domain. Enter the record there, as its "
                "name says: a record of its own would hide the others of the wildcard.",
                name=publication.name,
            )
        )
    if entry.is_text and publication.beside:
        yield Paragraph(
            texts.plural(
                "There is another TXT record with this name, which stays as it is.",
                "There are {n} other TXT records with this name, which stay as they are.",
                len(publication.beside),
            )
        )
    if entry.is_spf:
        yield from _changes(entry, texts)


def _in_place_of(entry: Entry, number: int, texts: Texts) -> str:
    if not entry.is_text:
        return texts.plural(
            "It takes the place of this record: delete that one first.",
            "It takes the place of these {n} records: delete them first.",
            number,
        )
    return texts.plural(
        "It takes the place of this record. Change that one, and do not add a second:",
        "It takes the place of these {n} records. Delete them, and keep the new one alone:",
        number,
    )


def _changes(entry: Entry, texts: Texts) -> Iterator[Block]:
    """What the new SPF record says that its owner might not expect."""
    old = " ".join(_shown(each) for each in entry.publication.replaces).lower().split()
    new = entry.publication.value.lower().split()
    ends = {term for term in old if term.endswith("all") and len(term) <= len("-all")}
    if gone := [each for each in dict.fromkeys(old) if each not in new and each not in ends]:
        yield Paragraph(
            texts.text(
                "These parts of the old record are corrected or left out, since mail servers "
                "cannot read them as they are: {parts}",
                parts="  ".join(part[:_MAX_TERM] for part in gone[:_MAX_TERMS]),
            )
        )
    if "-all" in old and "~all" in new:
        yield Paragraph(
            texts.text(
                "It ends in “~all”, so that nobody is refused for what was left out. “-all” can "
                "come back once the record names everybody who sends mail for you."
            )
        )
    if not old and "?all" in new:
        yield Paragraph(
            texts.text(
                "“?all” at its end leaves all your other mail as it is today. Make it “~all” "
                "once the record names everybody who sends mail for you."
            )
        )


def _shown(text: bytes) -> str:
    shown = printable(record_text(text))
    return shown if len(shown) <= MAX_REPLACED else f"{shown[:MAX_REPLACED]} ..."
