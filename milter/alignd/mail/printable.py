"""Text that is shown to people, made safe for a terminal and a log."""

from __future__ import annotations


def printable(text: str) -> str:
    """*text* for a terminal; mail, DNS and file names are hostile and must not drive it."""
    return "".join(character if character.isprintable() else "?" for character in text)
