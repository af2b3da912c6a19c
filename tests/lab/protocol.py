"""The words of the milter protocol, version 6: commands, replies, payloads."""

import struct
from collections.abc import Callable
from enum import Enum

from tests.lab.message import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    DeleteRecipient,
    InsertHeader,
    Modification,
    ReplaceBody,
)


class Command(Enum):
    """What the MTA says: letter, "do not say it", "it gets no reply", number of its macro list."""

    CONNECT = (b"C", 0x1, 0x1000, 0)
    HELO = (b"H", 0x2, 0x2000, 1)
    MAIL = (b"M", 0x4, 0x4000, 2)
    RCPT = (b"R", 0x8, 0x8000, 3)
    DATA = (b"T", 0x200, 0x10000, 4)
    HEADER = (b"L", 0x20, 0x80, 6)
    END_OF_HEADER = (b"N", 0x40, 0x40000, 6)
    BODY = (b"B", 0x10, 0x80000, 5)
    END_OF_MESSAGE = (b"E", 0, 0, 5)

    def __init__(self, letter: bytes, skip: int, no_reply: int, macro_list: int) -> None:
        self.letter = letter
        self.skip = skip
        self.no_reply = no_reply
        self.macro_list = macro_list


class Reply(Enum):
    """What a milter decides."""

    CONTINUE = b"c"
    ACCEPT = b"a"
    REJECT = b"r"
    TEMPFAIL = b"t"
    DISCARD = b"d"
    WITH_CODE = b"y"
    SKIP = b"s"


def strings(*texts: str) -> bytes:
    return b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in texts)


def macro_names(payload: bytes) -> dict[int, list[str]]:
    """Return the macros that the milter wants with each command, by number of the list."""
    names = {}
    while payload:
        (number,) = struct.unpack("!I", payload[:4])
        text, _nul, payload = payload[4:].partition(b"\0")
        names[number] = text.decode().split()
    return names


def _indexed(kind: Callable[[int, bytes, bytes], Modification]) -> Callable[[bytes], Modification]:
    def parse(payload: bytes) -> Modification:
        (index,) = struct.unpack("!I", payload[:4])
        name, value, _end = payload[4:].split(b"\0")
        return kind(index, name, value)

    return parse


def _addressed(kind: Callable[[str], Modification]) -> Callable[[bytes], Modification]:
    def parse(payload: bytes) -> Modification:
        address, _nul, _parameters = payload.partition(b"\0")
        return kind(address.decode("utf-8", "surrogateescape").strip("<>"))

    return parse


MODIFICATIONS: dict[bytes, Callable[[bytes], Modification]] = {
    b"m": _indexed(ChangeHeader),
    b"i": _indexed(InsertHeader),
    b"h": lambda payload: AddHeader(*payload.split(b"\0")[:2]),
    b"b": ReplaceBody,
    b"e": _addressed(ChangeSender),
    b"+": _addressed(AddRecipient),
    b"2": _addressed(AddRecipient),
    b"-": _addressed(DeleteRecipient),
}
