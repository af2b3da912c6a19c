"""Reads what stands in elements of a report: dates, numbers, addresses, domains, words."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import TypeVar

from alignd.mail.domain import Domain, DomainError
from alignd.mail.ip_address import IpAddress, parse_ip_address

MAX_COUNT = 10**12
"""Messages in a row, or in rows that are alike; more is a lie."""
_FIRST, _LAST = 946_684_800, 4_102_444_800  # the years 2000 to 2100
_MAX_DIGITS = 20
_MILLISECONDS = 10**11
_BRACKETS = "[]<>\"'"

_Word = TypeVar("_Word", bound=Enum)


def read_time(text: str) -> int | None:
    """Unix time in seconds or milliseconds, or a date of ISO 8601, in UTC where it has no zone."""
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _of_date(text)
    if not math.isfinite(seconds):
        return None
    if seconds >= _MILLISECONDS:
        seconds /= 1000
    return int(seconds) if _FIRST <= seconds < _LAST else None


def _of_date(text: str) -> float:
    try:
        # RFC 3339 allows a lower-case "z" and "t".
        date = datetime.fromisoformat(text.upper().removesuffix(" UTC").removesuffix(" GMT"))
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def read_count(text: str) -> int | None:
    """A number of messages, at least 1; some write it as a float."""
    digits = text.strip().removesuffix(".0")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
        return None
    count = int(digits)
    return count if 1 <= count <= MAX_COUNT else None


# Rows repeat themselves; caches keep the last ones.
@lru_cache(maxsize=4096)
def read_address(text: str) -> IpAddress | None:
    """An address of a source; brackets, a zone and a prefix length are taken off."""
    bare = text.strip().strip(_BRACKETS).partition("%")[0]
    address, _slash, length = bare.partition("/")
    try:
        found = parse_ip_address(address.strip().removeprefix("IPv6:"))
    except ValueError:
        return None
    return found if length in {"", str(found.max_prefixlen), "128"} else None


@lru_cache(maxsize=4096)
def read_domain(text: str) -> Domain | None:
    """A domain; of an address, which some receivers write there, its domain."""
    bare = text.strip().strip(_BRACKETS).rpartition("@")[2].strip().strip(_BRACKETS)
    try:
        return Domain.parse(bare)
    except DomainError:
        return None


@lru_cache(maxsize=4096)
def read_word(text: str) -> str:
    """A word in lower case."""
    return text.strip().lower()


def member_of(words: type[_Word], text: str, unknown: _Word) -> _Word:
    """The member of *words* whose value is *text*, whatever its case."""
    try:
        return words(read_word(text))
    except ValueError:
        return unknown
