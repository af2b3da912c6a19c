"""How output meets a terminal: 80 columns, colour and a progress bar where there is one."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import track
from rich.text import Text

from alignd.mail.printable import printable

WIDTH = 80
"""Columns of all output to people."""
MAX_SHOWN = 600
"""Characters of one value that are shown: a TXT record may have 64 kB."""

_Item = TypeVar("_Item")


class Style(Enum):
    """What a line is."""

    PLAIN = "plain"
    HEADING = "heading"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Line:
    """One line for a terminal: printable, and no wider than WIDTH."""

    text: str
    style: Style = Style.PLAIN


def fold(text: str, first: str = "", rest: str = "", style: Style = Style.PLAIN) -> list[Line]:
    """The lines of a hostile *text*, the first one behind *first*, the others behind *rest*."""
    shown = printable(text[:MAX_SHOWN])
    if len(text) > MAX_SHOWN:
        shown += f" ... ({len(text) - MAX_SHOWN} more characters)"
    ruler = Console(file=io.StringIO())
    room = WIDTH - max(cell_len(first), cell_len(rest))
    folded = [line.plain.rstrip() for line in Text(shown).wrap(ruler, room, overflow="fold")]
    return [
        Line(f"{rest if number else first}{line}".rstrip(), style)
        for number, line in enumerate(folded or [""])
    ]


def show(lines: Iterable[Line]) -> None:
    """Print *lines* to standard output, in colour when that is a terminal that wants it."""
    is_colourful = _is_colourful()
    for line in lines:
        click.echo(_styled(line) if is_colourful else line.text, color=is_colourful)


def with_progress(items: Iterable[_Item], count: Callable[[], int], title: str) -> Iterator[_Item]:
    """*items*, with a progress bar on standard error when that is a terminal.

    *count* says how many there are, and is asked only for that.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    console = Console(file=sys.stderr)
    yield from track(items, title, count(), console=console, transient=True)


def _is_colourful() -> bool:
    # https://no-color.org: any value but the empty one.
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


def _styled(line: Line) -> str:
    match line.style:
        case Style.PLAIN:
            return line.text
        case Style.HEADING:
            return click.style(line.text, bold=True)
        case Style.REMOVED:
            return click.style(line.text, fg="red")
        case Style.ADDED:
            return click.style(line.text, fg="green")
