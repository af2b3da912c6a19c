"""Finds the lines of a message that Postfix breaks on its way out, and those that it has broken.

smtp(8) puts a line end and a blank behind each 998 octets of a line (smtp_line_length_limit), in
the header, in the body and in its parts, behind all milters: what signs the line is dead then.
"""

from __future__ import annotations

MAX_LINE = 998
"""Octets of a line without its CRLF that stay as they are, RFC 5322, section 2.1.1 (measured)."""

_END = b"\r\n"
_WINDOW = MAX_LINE + len(_END)
_BLANK = b" "


def has_long_line(name: str, value: bytes) -> bool:
    """Whether a line of a header field is too long; *value* begins right behind the colon."""
    if len(name) + 1 + len(value) <= MAX_LINE:
        return False
    first, *folded = value.split(b"\n")
    return len(name) + 1 + len(first) > MAX_LINE or any(len(line) > MAX_LINE for line in folded)


def has_broken_line(name: str, value: bytes) -> bool:
    """Whether a fold of a header field looks as if smtp(8) had made it, on an earlier hop."""
    if len(name) + 1 + len(value) <= MAX_LINE:
        return False
    first, *folded = value.split(b"\n")
    lengths = [len(name) + 1 + len(first), *map(len, folded)]
    return any(
        length == MAX_LINE and line.startswith(_BLANK)
        for length, line in zip(lengths, folded, strict=False)
    )


class BodyLines:
    """Watches a body, which comes in chunks, for a line that is too long, or was."""

    __slots__ = ("_found", "_open", "were_long")

    def __init__(self) -> None:
        self._found = False
        self._open = b""  # the end of what has come, with all of the line that may go on
        self.were_long = False
        """Whether one looks as if smtp(8) had broken it; not to be relied on where `are_long`."""

    def add(self, chunk: bytes) -> None:
        if self._found:
            return
        text = self._open + chunk if self._open else chunk
        begin, enough = 0, len(text) - _WINDOW - len(_BLANK)
        while begin <= enough:
            # The last line end within reach: what lies before it is short, and needs no look.
            end = text.rfind(_END, begin, begin + _WINDOW)
            if end < 0:
                self._found, self._open = True, b""
                return
            at = end + len(_END)
            if end - begin == MAX_LINE and text.startswith(_BLANK, at):
                self.were_long = True
            begin = at
        self._open = text[begin:]

    @property
    def are_long(self) -> bool:
        """Whether one is, if the body ends here."""
        return self._found or len(self._open.rpartition(_END)[2]) > MAX_LINE
