"""What a letter is made of, before it is text or HTML."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """What the next blocks are about."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph, and the page that it leads to."""

    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """Paragraphs that stand for themselves."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """The same, each with the page that it leads to."""

    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines that are copied or compared, each as it stands."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    label: str
    value: str
    """What is entered, as it stands; empty where the field stays empty."""
    note: str = ""
    """What is said of it, and never entered."""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields to fill in."""

    fields: tuple[Field, ...]


Block = Heading | Paragraph | Listed | Linked | Verbatim | Form
