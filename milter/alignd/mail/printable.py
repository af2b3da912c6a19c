"""Makes hostile text safe for a terminal and a log."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replace unprintable characters: text of mail, DNS or file names could control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
