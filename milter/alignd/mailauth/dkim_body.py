"""The body of a message as DKIM hashes it (RFC 6376, section 3.4), once for all signatures.

It is as fast as Python's own string functions, however hostile the body: dkimpy counts empty
lines one by one.
"""

from __future__ import annotations

import hashlib
from functools import cached_property

from alignd.mail.line_length import BodyLines

_END = b"\r\n"
_FORM_FEED = b"\f"


class CanonicalBody:
    """A body with CRLF line ends, in the forms that signatures ask for."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def form(self, *, relaxed: bool) -> bytes:
        """The canonical form, to which l= refers."""
        return self._relaxed if relaxed else self._simple

    def digest(self, *, relaxed: bool) -> bytes:
        """The SHA-256 of the canonical form, which bh= has."""
        return self._relaxed_digest if relaxed else self._simple_digest

    def problem(self, *, relaxed: bool) -> str:
        """What keeps receivers from agreeing about the form; empty if nothing does."""
        if self._has_bare_ends:
            return "a bare CR or LF is in the body"
        if relaxed and _FORM_FEED in self._body:
            return "a form feed is in the body: white space to rspamd alone"
        if relaxed and not self._relaxed and self._body.strip(_END):
            return "the body is nothing but blanks: not empty to rspamd"
        return ""

    @cached_property
    def has_long_line(self) -> bool:
        """Whether smtp(8) will break a line of it."""
        lines = BodyLines()
        lines.add(self._body)
        return lines.are_long

    @cached_property
    def _has_bare_ends(self) -> bool:
        without = self._body.translate(None, _END)
        return len(self._body) - len(without) != len(_END) * self._body.count(_END)

    @cached_property
    def _simple(self) -> bytes:
        return self._body.rstrip(_END) + _END  # section 3.4.3

    @cached_property
    def _relaxed(self) -> bytes:
        text = self._body.replace(b"\t", b" ")
        while b"  " in text:
            text = text.replace(b"  ", b" ")
        text = text.replace(b" \r\n", _END).rstrip(_END)
        return text + _END if text else b""  # section 3.4.4

    @cached_property
    def _simple_digest(self) -> bytes:
        return hashlib.sha256(self._simple).digest()

    @cached_property
    def _relaxed_digest(self) -> bytes:
        return hashlib.sha256(self._relaxed).digest()
