"""Lays a letter out as plain text; what is copied stands on a line of its own, never folded."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from alignd.letter.layout.blocks import Block, Form, Heading, Linked, Listed, Paragraph, Verbatim

WIDTH = 76
"""Columns of what is folded: what mail is written in (RFC 5322, section 2.1.1)."""
_INDENT = "    "


def as_text(blocks: Iterable[Block]) -> str:
    """Lay *blocks* out, an empty line between two of them."""
    return "\n\n".join("\n".join(_lines(block)) for block in blocks) + "\n"


def _lines(block: Block) -> list[str]:
    match block:
        case Heading(text):
            return [text.upper()]
        case Paragraph(text, url):
            return [*_folded(text), *([_INDENT + url] if url else [])]
        case Listed(texts):
            return [line for text in texts for line in _folded(text, "- ", "  ")]
        case Linked(paragraphs):
            return [line for each in paragraphs for line in _linked(each)]
        case Verbatim(lines):
            return [_INDENT + line for line in lines]
        case Form():
            return _form(block)


def _linked(paragraph: Paragraph) -> list[str]:
    link = [f"  {paragraph.url}"] if paragraph.url else []
    return [*_folded(paragraph.text, "- ", "  "), *link]


def _form(form: Form) -> list[str]:
    lines = []
    for field in form.fields:
        label = f"{field.label}: ({field.note})" if field.note else f"{field.label}:"
        lines += _folded(label)
        if field.value:
            lines.append(_INDENT + field.value)
    return lines


def _folded(text: str, first: str = "", rest: str = "") -> list[str]:
    # A name or a record that is broken is one that nobody can copy.
    return wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
