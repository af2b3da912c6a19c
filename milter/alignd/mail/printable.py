"""Makes hostile text safe for a terminal and a log."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replace unprintable characters: text of mail, DNS or file names could control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def record_text(record: bytes) -> str:
    """Decode a record from DNS, which may hold any octets."""
    try:
        return record.decode("utf-8")
    except UnicodeDecodeError:
        return record.decode("latin-1")
