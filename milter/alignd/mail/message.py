"""A message as a milter sees it, and the edits and replies that a milter can ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from alignd.mail.ip_address import IpAddress

_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# Postfix takes printable ASCII but the colon as a name, and white space before the colon.
_FIELD = re.compile(rb"(?P<name>[!-9;-~]+)[ \t]*:(?P<blank>[ ]?)(?P<value>.*)", re.DOTALL)
_MAILBOX_LINE = re.compile(rb">*From ")
_FIRST_LINES = re.compile(rb"(?:[^\r\n][^\n]*\n?)*")
_ANY_FIELD = re.compile(rb"^(?:\xef\xbb\xbf)?(?:[!-9;-~]+[ \t]*:|>*From )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One header field as the MTA hands it over."""

    name: str
    value: bytes
    """Without the one blank behind the colon. Folds are a LF and white space."""
    blank: bytes = b" "
    """A blank or nothing: what stands between colon and value, and the MTA may strip."""

    @property
    def unfolded(self) -> bytes:
        """The value without its folds, RFC 5322, section 2.2.3."""
        return _FOLD.sub(b"", self.value)

    @property
    def line(self) -> bytes:
        """The field as it stands in the message, its CRLF included."""
        value = self.value.replace(b"\n", b"\r\n")
        return b"%s:%s%s\r\n" % (self.name.encode(), self.blank, value)


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message: envelope, header, and the body where DKIM needs it."""

    envelope_sender: str
    """RFC5321.MailFrom without angle brackets; empty when null."""
    recipients: tuple[str, ...]
    header: tuple[HeaderField, ...]
    """In the order of the message. Fields that nothing depends on may be missing."""
    client: IpAddress | None = None
    """None for a client without an address, such as sendmail(1)."""
    login: str = ""
    """The SASL login name; empty when the client did not log in."""
    helo: str = ""
    """What the client said in HELO or EHLO, where that matters."""
    body: bytes | None = None
    """With CRLF line ends; None when it was not needed, or too large to keep."""
    has_long_line: bool = False
    """Whether smtp(8) will break a line of it, in header or body, behind all milters."""
    has_broken_line: bool = False
    """Whether smtp(8) has broken one on an earlier hop, behind what verified it there."""

    def fields(self, name: str) -> tuple[HeaderField, ...]:
        """Find the fields called *name*, ignoring case, topmost first."""
        wanted = name.lower()
        return tuple(field for field in self.header if field.name.lower() == wanted)


@dataclass(frozen=True, slots=True)
class ChangeField:
    """Replace the value of the *index*-th field of that name; 1 is the topmost."""

    name: str
    index: int
    value: str
    """Folds are a LF and a space."""


@dataclass(frozen=True, slots=True)
class DeleteField:
    """Remove the *index*-th field of that name, which renumbers those below it at once."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class AddField:
    """Add a field at the end of the header."""

    name: str
    value: str
    """Folds are a LF and a space."""


Before = HeaderField | None
"""A field as it came; None for one that is added."""
After = HeaderField | None
"""A field as it leaves; None for one that is removed."""

HeaderEdit = ChangeField | DeleteField | AddField
"""One change to the header, in the terms of the milter protocol."""


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits to one message, in the order in which the MTA applies them."""

    header: tuple[HeaderEdit, ...] = ()
    envelope_sender: str | None = None
    """The new envelope sender; None keeps the old one."""

    def __bool__(self) -> bool:
        return bool(self.header) or self.envelope_sender is not None


NO_EDITS = Edits()
"""Of a message that stays as it is."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client is told of a message or a recipient that is not taken."""

    code: str
    """RFC 5321, section 4.2: "550"."""
    status: str
    """RFC 3463: "5.7.1"."""
    text: str

    @property
    def is_for_good(self) -> bool:
        """Whether it is no use to try again."""
        return self.code.startswith("5")


class MessageError(ValueError):
    """The bytes are no message."""


def split_message(data: bytes) -> tuple[tuple[HeaderField, ...], bytes]:
    """Split a message into its header fields and its body, as Postfix does.

    Line ends are CRLF or LF; those of the body become CRLF. The header ends at the first line
    that is neither a field nor a continuation. If that line is not empty, the body begins with it,
    so that a message whose first line is no field has no header.

    Raises:
        MessageError: there is no header field among the first lines, either.
    """
    if not _ANY_FIELD.search(_FIRST_LINES.match(data)[0]):  # type: ignore[index]  # it always matches
        raise MessageError("does not begin with a header field such as 'From: ...'")
    fields: list[tuple[str, bytes, list[bytes]]] = []
    position, is_on_top = 0, True
    while position < len(data):
        end = data.find(b"\n", position) + 1 or len(data)
        line = data[position:end].rstrip(b"\r\n")
        if is_on_top and _MAILBOX_LINE.match(line):  # smtpd(8) names it so (measured)
            fields.append(("X-Mailbox-Line", b" ", [line]))
            position = end
            continue
        if line[:1] in {b" ", b"\t"} and not is_on_top:
            fields[-1][2].append(line)
        elif match := _FIELD.match(line):
            fields.append((match["name"].decode("ascii"), match["blank"], [match["value"]]))
        else:
            break
        position, is_on_top = end, False
    header = tuple(
        # Postfix cuts a field at NUL (measured).
        HeaderField(name, b"\n".join(lines).partition(b"\0")[0], blank)
        for name, blank, lines in fields
    )
    body = re.sub(rb"\r?\n", b"\r\n", data[position:])
    return header, body.removeprefix(b"\r\n")


def compare(
    header: tuple[HeaderField, ...], edits: tuple[HeaderEdit, ...]
) -> tuple[tuple[Before, After], ...]:
    """Pair every field before and after *edits*, applied one by one, as the MTA does."""
    pairs: list[tuple[Before, After]] = [(field, field) for field in header]
    for edit in edits:
        match edit:
            case AddField(name, value):
                pairs.append((None, HeaderField(name, value.encode())))
            case ChangeField(name, index, value):
                place = _place(pairs, name, index)
                pairs[place] = (pairs[place][0], HeaderField(name, value.encode()))
            case DeleteField(name, index):
                place = _place(pairs, name, index)
                pairs[place] = (pairs[place][0], None)
    return tuple(pairs)


def _place(pairs: list[tuple[Before, After]], name: str, index: int) -> int:
    # A removed field is not counted: deleting renumbers at once.
    wanted = name.lower()
    places = (
        place for place, (_, after) in enumerate(pairs) if after and after.name.lower() == wanted
    )
    return next(islice(places, index - 1, None))
