"""Finds the lines of a message that Postfix breaks on its way out, and those that it has broken.

smtp(8) puts a line end and a blank behind each 998 octets of a line (smtp_line_length_limit), in
the header, in the body and in its parts, behind all milters: what signs the line is dead then.
"""

from __future__ import annotations

MAX_LINE = 998
"""Octets of a line without its CRLF that stay as they are, RFC 5322, section 2.1.1 (measured)."""

_END = b"\r\n"
_WINDOW = MAX_LINE + len(_END)
_CONTINUED = b" "


class LineLengths:
    """Watches the lines of one message, whose body comes in chunks."""

    __slots__ = ("_has_long", "_open", "has_broken_line")

    def __init__(self) -> None:
        self._has_long = False
        self._open = b""  # the end of what has come, with all of the line that may go on
        self.has_broken_line = False
        """Whether a line looks as if smtp(8) had made two of one, on an earlier hop."""

    @property
    def has_long_line(self) -> bool:
        """Whether smtp(8) will break a line, if the message ends here."""
        return self._has_long or len(self._open.rpartition(_END)[2]) > MAX_LINE

    def add_field(self, name: str, value: bytes) -> None:
        """Look at a header field, whose *value* begins right behind the colon."""
        if len(name) + 1 + len(value) <= MAX_LINE:
            return
        first, *folded = value.split(b"\n")
        lengths = [len(name) + 1 + len(first), *map(len, folded)]
        if max(lengths) > MAX_LINE:
            self._has_long = True
        if any(
            length == MAX_LINE and line.startswith(_CONTINUED)
            for length, line in zip(lengths, folded, strict=False)
        ):
            self.has_broken_line = True

    def add_body(self, chunk: bytes) -> None:
        if self._has_long:
            return
        text = self._open + chunk if self._open else chunk
        begin, enough = 0, len(text) - _WINDOW - len(_CONTINUED)
        while begin <= enough:
            # The last line end within reach: what lies before it is short, and needs no look.
            end = text.rfind(_END, begin, begin + _WINDOW)
            if end < 0:
                self._has_long, self._open = True, b""
                return
            at = end + len(_END)
            if end - begin == MAX_LINE and text.startswith(_CONTINUED, at):
                self.has_broken_line = True
            begin = at
        self._open = text[begin:]
