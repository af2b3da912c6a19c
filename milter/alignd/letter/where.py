"""Where the record is entered: at which DNS host, and what the name is in its form."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.languages.texts import Texts
from alignd.letter.entry import Entry
from alignd.letter.layout.blocks import Block, Paragraph
from alignd.mail.printable import printable

_MAX_NAMESERVERS = 4


def where_to_enter(entry: Entry, texts: Texts) -> Iterator[Block]:
    """Lead to the form, and explain the name where nobody knows how the form wants it."""
    host, zone = entry.hosting.host, entry.zone.name
    nameservers = ", ".join(map(printable, entry.hosting.nameservers[:_MAX_NAMESERVERS]))
    if host is not None:
        yield Paragraph(
            texts.text(
                "The DNS of {zone} is at {host}: its nameservers are {nameservers}. Log in there, "
                "and open the DNS records of {zone}.",
                zone=zone,
                host=host.name,
                nameservers=nameservers,
            )
        )
    elif nameservers:
        yield Paragraph(
            texts.text(
                "The nameservers of {zone} are {nameservers}. Log in where its DNS is managed, "
                "often where the domain was bought, and open its DNS records.",
                zone=zone,
                nameservers=nameservers,
            )
        )
    else:
        yield Paragraph(
            texts.text(
                "Log in where the DNS of {zone} is managed, often where the domain was bought, "
                "and open its DNS records.",
                zone=zone,
            )
        )
    if host and host.menu:
        yield Paragraph(texts.text("The way through the menus: {menu}", menu=host.menu))
    if host and host.help:
        yield Paragraph(
            texts.text("The instructions of {host}:", host=host.name),
            host.help,
        )
    if entry.name is None:
        yield _name_in_words(entry, texts)


def _name_in_words(entry: Entry, texts: Texts) -> Block:
    if entry.relative_name == "@":
        return Paragraph(
            texts.text(
                "Forms differ in how they want the name. For the domain itself many want “@”, "
                "some an empty field, and a few the whole name {name}.",
                name=entry.publication.name,
            )
        )
    if entry.relative_name == entry.publication.name:
        return Paragraph(
            texts.text(
                "Forms differ in how they want the name. Many append your domain by themselves: "
                "then leave it out at the end of the name."
            )
        )
    return Paragraph(
        texts.text(
            "Forms differ in how they want the name. Many append {zone} by themselves: then enter "
            "{relative}, and else the whole name.",
            zone=entry.zone.name,
            relative=entry.relative_name,
        )
    )
