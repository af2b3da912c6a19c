"""Parses the value of smtpd_milters as Postfix does: milters, each with its own settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from alignd.config.endpoint import Endpoint, parse_endpoint

_OTHER_PORT = re.compile(r"inet:(?:\[[^]]+\]|[^:\s]+):\w[\w-]*")
_SEPARATORS = frozenset(", \t\r\n")


class MilterListError(ValueError):
    """The value is not a list of milters; the message says which part is malformed."""


@dataclass(frozen=True, slots=True)
class MilterEntry:
    """One entry of smtpd_milters."""

    text: str
    """The endpoint as it is written."""
    endpoint: Endpoint | None
    """None where the port has a name, or is out of range."""
    settings: Mapping[str, str]
    """The settings in its braces: connect_timeout, default_action, ..."""


def read_milters(value: str) -> tuple[MilterEntry, ...]:
    """Parse the milters of *value*, in the order in which they see a message.

    Raises:
        MilterListError: a brace, an endpoint or a setting is malformed.
    """
    return tuple(_milter(part) for part in _parts(value))


def _milter(part: str) -> MilterEntry:
    inside = _inside(part)
    text, *rest = _parts(inside) if inside is not None else [part]
    return MilterEntry(text, _endpoint(text), dict(_setting(each) for each in rest))


def _endpoint(text: str) -> Endpoint | None:
    try:
        return parse_endpoint(text)
    except ValueError:
        if _OTHER_PORT.fullmatch(text):
            return None
        raise MilterListError(f"not a milter: {text!r}") from None


def _setting(part: str) -> tuple[str, str]:
    inside = _inside(part)
    name, equals, value = (part if inside is None else inside).partition("=")
    if not equals or not name.strip():
        raise MilterListError(f"not a setting, name=value without blanks: {part!r}")
    return name.strip(), value.strip()


def _inside(part: str) -> str | None:
    """The text between the braces of *part*; None if it has no braces.

    Raises:
        MilterListError: the braces are empty.
    """
    if not part.startswith("{"):
        return None
    if not part[1:-1].strip():
        raise MilterListError("nothing between braces")
    return part[1:-1]


def _parts(value: str) -> list[str]:
    return list(_split(value))


def _split(value: str) -> Iterator[str]:
    """Split at blanks and commas; a group in braces is one part."""
    depth, start = 0, None
    for position, character in enumerate(value):
        if depth == 0 and character in _SEPARATORS:
            if start is not None:
                yield value[start:position]
            start = None
            continue
        if start is None:
            start = position
        if value[start] == "{":
            depth += (character == "{") - (character == "}")
            if depth == 0 and character == "}":
                yield value[start : position + 1]
                start = None
    if depth:
        raise MilterListError("a brace that is never closed")
    if start is not None:
        yield value[start:]
