"""A progress bar for long work: on standard error, and only where that is a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

MANY = 5
"""Items from which on a bar is worth its line."""

_Item = TypeVar("_Item")


def tracked(items: Sequence[_Item], title: str) -> Iterator[_Item]:
    """Go through *items*; the bar, with *title* in front, is gone when they are."""
    console = Console(stderr=True)
    shown = console.is_terminal and len(items) >= MANY
    yield from track(items, title, console=console, transient=True, disable=not shown)
