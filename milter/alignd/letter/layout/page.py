"""Lays a letter out as HTML; all text is escaped, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from alignd.languages.texts import Texts
from alignd.letter.layout.blocks import (
    Block,
    Field,
    Form,
    Heading,
    Linked,
    Listed,
    Paragraph,
    Verbatim,
)

# Mail programs keep these, and know no style sheets. The page of a letter takes its own.
_COPIED = "white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace"
_CELL = "text-align: left; vertical-align: top; padding: 2px 12px 2px 0"


def as_html(subject: str, blocks: Iterable[Block], texts: Texts) -> str:
    """Make a whole page."""
    return (
        f'<!DOCTYPE html>\n<html lang="{texts.language.value}">\n<head>\n'
        f'<meta charset="utf-8">\n<title>{escape(subject)}</title>\n</head>\n<body>\n'
        f"{as_fragment(blocks)}</body>\n</html>\n"
    )


def as_fragment(blocks: Iterable[Block]) -> str:
    """Make the part of a page that has *blocks*."""
    return "".join(f"{_html(block)}\n" for block in blocks)


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(text, url):
            link = f'<br>\n<a href="{escape(url)}">{escape(url)}</a>' if url else ""
            return f"<p>{escape(text)}{link}</p>"
        case Listed(texts):
            items = "\n".join(f"<li>{escape(text)}</li>" for text in texts)
            return f"<ul>\n{items}\n</ul>"
        case Linked(paragraphs):
            items = "\n".join(f"<li>{_linked(each)}</li>" for each in paragraphs)
            return f"<ul>\n{items}\n</ul>"
        case Verbatim(lines):
            return "\n".join(f'<pre style="{_COPIED}">{escape(line)}</pre>' for line in lines)
        case Form(fields):
            rows = "".join(map(_row, fields))
            return f"<table>\n{rows}</table>"


def _linked(paragraph: Paragraph) -> str:
    text = escape(paragraph.text)
    return f'<a href="{escape(paragraph.url)}">{text}</a>' if paragraph.url else text


def _row(field: Field) -> str:
    value = f'<code style="{_COPIED}">{escape(field.value)}</code>' if field.value else ""
    note = f"<small>({escape(field.note)})</small>" if field.note else ""
    content = "<br>".join(filter(None, (value, note)))
    return (
        f'<tr><th scope="row" style="{_CELL}">{escape(field.label)}</th>'
        f'<td style="{_CELL}">{content}</td></tr>\n'
    )
