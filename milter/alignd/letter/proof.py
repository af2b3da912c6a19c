"""How the admin sees that it worked."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.advice.alternatives import Alternative
from alignd.languages.texts import Texts
from alignd.letter.entry import Entry
from alignd.letter.layout.blocks import Block, Paragraph, Verbatim


def how_to_see(entry: Entry, alternative: Alternative, texts: Texts, link: str) -> Iterator[Block]:
    """What to look at, where, and when."""
    publication = entry.publication
    yield Paragraph(
        texts.text(
            "It takes up to an hour until everybody sees the change, at some DNS hosts a day. "
            "This command, which Windows, macOS and Linux know, shows what DNS says:"
        )
    )
    yield Verbatim((f"nslookup -type={publication.kind.value} {publication.answers}",))
    if link:
        yield Paragraph(texts.text("This page shows at any time what we see:"), link)
    if entry.is_dkim_key and alternative.notes:  # what the operator has to add to his own side
        yield Paragraph(
            texts.text(
                "Please tell us once the record is there: we then switch the signature on. From "
                "then on mail leaves from your agents' own addresses."
            )
        )
    else:
        yield Paragraph(
            texts.text(
                "Then have an agent answer a request: the answer comes from the agent's own "
                "address. Nothing else has to be changed, at your helpdesk or by us."
            )
        )
