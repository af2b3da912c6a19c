"""Lays out text for people: lines of 80 columns, styles, and a progress bar on a terminal.

Whatever is printed may hold text of mail, DNS or the file system, so every line made here is free
of characters that control a terminal.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import track
from rich.text import Text

from alignd.mail.printable import printable

WIDTH = 80
"""Columns of what is folded."""
MAX_SHOWN = 600
"""Characters shown of one value of mail or DNS: a TXT record may have 64 kB."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Style:
    """How a text looks on a terminal."""

    colour: str | None = None
    """A colour of `click.style`."""
    is_bold: bool = False


PLAIN = Style()
HEADING = Style(is_bold=True)
REMOVED = ERROR = Style("red")
ADDED = GOOD = Style("green")
WARNING = Style("yellow")
GOOD_HEADING = Style("green", is_bold=True)
WARNING_HEADING = Style("yellow", is_bold=True)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a line in one style."""

    text: str
    style: Style = PLAIN


@dataclass(frozen=True, slots=True)
class Line:
    """A printable line; no wider than WIDTH unless it is to be copied."""

    spans: tuple[Span, ...]

    @classmethod
    def of(cls, *parts: Span | str) -> Line:
        """Make a line of *parts* without unprintable characters; text alone is plain."""
        spans = (part if isinstance(part, Span) else Span(part) for part in parts)
        return cls(tuple(Span(printable(span.text), span.style) for span in spans))

    @property
    def text(self) -> str:
        """The line without its styles."""
        return "".join(span.text for span in self.spans)


BLANK = Line(())


def fold(text: str, first: str = "", rest: str = "", style: Style = PLAIN) -> list[Line]:
    """Fold *text* at blanks, and words too long for a line anywhere, so that nothing is lost.

    The first line begins with *first*, the others with *rest*.
    """
    # rich asks the console of a wrap for nothing but its settings; it prints nothing.
    console = Console(file=io.StringIO())
    room = WIDTH - max(cell_len(first), cell_len(rest))
    folded = Text(printable(text)).wrap(console, room, overflow="fold")
    pieces = [piece.plain.rstrip() for piece in folded] or [""]
    return [
        Line.of(Span(f"{rest if number else first}{piece}".rstrip(), style))
        for number, piece in enumerate(pieces)
    ]


def verbatim(text: str, indent: str = "") -> Line:
    """Put what people copy, a record or a command, on a line of its own, however long."""
    return Line.of(f"{indent}{text}")


def shortened(text: str, limit: int = MAX_SHOWN) -> str:
    """The first *limit* characters of *text*, and how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} ... ({len(text) - limit} more characters)"


def print_lines(lines: Iterable[Line]) -> None:
    """Print *lines* to standard output, in colour on a terminal, unless colour is unwanted.

    https://no-color.org: any value of NO_COLOR but the empty one turns colour off.
    """
    is_unwanted = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    for line in lines:
        # Left to itself, click takes colours out where the output is no terminal.
        click.echo("".join(map(_styled, line.spans)), color=False if is_unwanted else None)


def with_progress(items: Iterable[_Item], count: Callable[[], int], title: str) -> Iterator[_Item]:
    """Yield *items*, with a progress bar on standard error if that is a terminal.

    *count* returns the number of items, and is called only for a bar.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    console = Console(file=sys.stderr)
    yield from track(items, title, count(), console=console, transient=True)


def _styled(span: Span) -> str:
    if span.style == PLAIN:
        return span.text
    return click.style(span.text, fg=span.style.colour, bold=span.style.is_bold or None)
