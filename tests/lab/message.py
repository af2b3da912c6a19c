"""A message in Postfix's hands: split into fields, edited as a milter asks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

# Postfix's idea of a field (is_header.c): printable ASCII, perhaps blanks, and a colon.
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:( ?)(.*?)\r?\n?\Z", re.DOTALL)
_FOLD = re.compile(rb"\r\n[ \t]+")
_QUEUE_ID = re.compile(rb"; *id=[^;\s]*")
_LONGEST = 998  # octets of a line: Postfix's default of smtp_line_length_limit
# On top, Postfix takes such lines for what mailbox files have there.
_MAILBOX_LINE = re.compile(rb">*From ")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the header, as the message has it and as the milter protocol shows it."""

    name: bytes
    value: bytes  # without one leading space, folded with LF
    raw: bytes  # with its line end
    blank: bytes = b" "  # that leading space, or nothing

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a field that `split` has found."""
        parts = _FIELD.match(raw)
        if parts is None:
            raise ValueError(f"not a header field: {raw!r}")
        return cls(parts[1], parts[3].replace(b"\r\n", b"\n"), raw, parts[2])

    @classmethod
    def mailbox_line(cls, raw: bytes) -> Self:
        """Make the field that Postfix makes of such a line on top."""
        return cls(b"X-Mailbox-Line", raw.rstrip(b"\r\n"), b"X-Mailbox-Line: " + raw)

    @classmethod
    def write(cls, name: bytes, value: bytes, blank: bytes = b" ") -> Self:
        """Make a field as Postfix writes one for a milter, with *blank* behind the colon."""
        # What would begin a new field is folded, so that a value cannot smuggle one in.
        value = re.sub(rb"\n(?![ \t])", b"\n\t", value)
        return cls(name, value, name + b":" + blank + value.replace(b"\n", b"\r\n") + b"\r\n")


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """Replace the field that is number *index* of this name, or delete it if *value* is empty."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """Put a field at place *index*, where Postfix's own Received counts as a field."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class AddHeader:
    """Append a field to the header."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """Put *body*, or the next part of it, in the place of the old body."""

    body: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Make *address* the envelope sender."""

    address: str


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """Deliver to *address* as well."""

    address: str


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """Do not deliver to *address*."""

    address: str


Modification = (
    ChangeHeader
    | InsertHeader
    | AddHeader
    | ReplaceBody
    | ChangeSender
    | AddRecipient
    | DeleteRecipient
)


def split(message: bytes) -> tuple[list[Field], bytes]:
    """Return the fields of the header, and the rest, which begins with an empty line if any.

    A line that is no field ends the header, and Postfix puts the missing empty line before it.
    """
    on_top: list[Field] = []
    found: list[list[bytes]] = []
    size = 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", message):
        if not found and _MAILBOX_LINE.match(line):
            on_top.append(Field.mailbox_line(line))
        elif found and line[:1] in (b" ", b"\t"):
            found[-1].append(line)
        elif _FIELD.match(line):
            found.append([line])
        else:
            break
        size += len(line)
    rest = message[size:]
    if rest and not rest.startswith((b"\r\n", b"\n")):
        rest = b"\r\n" + rest
    return [*on_top, *(Field.parse(b"".join(lines)) for lines in found)], rest


def edited(message: bytes, modifications: Iterable[Modification], blank: bytes = b" ") -> bytes:
    """Return the message as it leaves Postfix, without the Received field that Postfix adds.

    *blank* is empty where the milter has negotiated to bring its own (HDR_LEADSPC).
    """
    fields, rest = split(message)
    own = Field.write(b"Received", b"by this Postfix")
    fields.insert(0, own)
    body: bytes | None = None
    for modification in modifications:
        match modification:
            case InsertHeader(index, name, value):
                fields.insert(index, Field.write(name, value, blank))
            case AddHeader(name, value):
                fields.append(Field.write(name, value, blank))
            case ChangeHeader():
                _change(fields, own, modification, blank)
            case ReplaceBody(part):
                body = (body or b"") + part
    header = b"".join(field.raw for field in fields if field is not own)
    return header + (rest if body is None else b"\r\n" + body)


def normalised(message: bytes) -> bytes:
    """Return *message* without what differs from run to run.

    Received fields are dropped, and the queue id in an Alignd field becomes QUEUEID.
    """
    fields, rest = split(message)
    header = b""
    for field in fields:
        if field.name.lower() == b"alignd":
            # Where the field is folded depends on the length of the id.
            line = _QUEUE_ID.sub(b"", _FOLD.sub(b" ", field.raw.rstrip(b"\r\n")))
            header += line + b"; id=QUEUEID\r\n"
        elif field.name.lower() != b"received":
            header += field.raw
    return header + rest


def broken(message: bytes) -> bytes:
    """Return *message* as Postfix's smtp client sends it: with no line over 998 octets.

    It breaks a longer line wherever that is, in the header and in the body (measured); a blank
    begins what follows.
    """
    return b"\r\n".join(
        line if len(line) <= _LONGEST else _pieces(line) for line in message.split(b"\r\n")
    )


def _pieces(line: bytes) -> bytes:
    step = _LONGEST - 1
    rest = range(_LONGEST, len(line), step)
    return b"\r\n ".join([line[:_LONGEST], *(line[at : at + step] for at in rest)])


def _change(fields: list[Field], own: Field, edit: ChangeHeader, blank: bytes) -> None:
    # A milter does not see Postfix's own Received and cannot change it.
    places = [
        place
        for place, field in enumerate(fields)
        if field is not own and field.name.lower() == edit.name.lower()
    ]
    number = max(edit.index, 1)
    if number <= len(places):
        place = places[number - 1]
        fields[place : place + 1] = (
            [Field.write(edit.name, edit.value, blank)] if edit.value else []
        )
    elif edit.value:
        fields.append(Field.write(edit.name, edit.value, blank))
