"""Short letters, for links that open a mail: the record and little else, longest first."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.languages.texts import Texts
from alignd.letter.entry import Entry
from alignd.letter.layout.blocks import Block, Paragraph
from alignd.letter.record import record, replaced


def short_bodies(
    domain: str, entry: Entry, texts: Texts, link: str
) -> Iterator[tuple[Block, ...]]:
    """The bodies to try, the longest first; the last has no record, and says so."""
    ask = Paragraph(
        texts.text(
            "Please publish this record in the DNS of {domain}, so that your helpdesk's mail "
            "keeps your agents' own addresses:",
            domain=domain,
        )
    )
    hello = Paragraph(texts.text("Hello,"))
    more = (Paragraph(texts.text("All about it:"), link),) if link else ()
    form = record(entry, texts)
    yield (hello, ask, form, *replaced(entry, texts), *more)
    # A second SPF record makes an error of both, so this is said where the old one has no room.
    warning = (
        (Paragraph(texts.text("It takes the place of the record that is there now.")),)
        if entry.publication.replaces
        else ()
    )
    yield (hello, ask, form, *warning, *more)
    yield (
        hello,
        Paragraph(
            texts.text(
                "{domain} needs a record in its DNS, so that your helpdesk's mail keeps your "
                "agents' own addresses. It is too long for this message.",
                domain=domain,
            )
        ),
        *more,
    )
