"""Writes text as a part of a URL (RFC 3986, section 2.1)."""

from __future__ import annotations

# Section 2.3. Of urllib, which has a network too, this imports nothing.
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def percent_encoded(text: str) -> str:
    """Encode all but the unreserved characters."""
    return "".join(chr(each) if each in _UNRESERVED else f"%{each:02X}" for each in text.encode())
