"""What the core asks of DNS, and the shapes of the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class RecordType(Enum):
    """The record types that SPF and DMARC ask for."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    PTR = "PTR"
    TXT = "TXT"


@dataclass(frozen=True, slots=True)
class MailExchange:
    """The data of one MX record; *host* has no trailing dot and is empty for a null MX."""

    preference: int
    host: str


Record = bytes | str | MailExchange
"""Data of one record: TXT is bytes (its strings joined without a separator, RFC 7208,
section 3.3, and RFC 9989, section 4.5), A, AAAA and PTR are text, MX is a MailExchange."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS said, after following CNAMEs; an empty tuple means that no such record is there."""

    records: tuple[Record, ...]
    exists: bool = True
    """False only when the name asked for does not exist (NXDOMAIN, RFC 8020); a name with
    other record types, an empty non-terminal and a dangling CNAME exist."""
    alias_of: str = field(default="", compare=False)
    """The target of the CNAME at the name asked for, which the answer has followed; empty when
    there is none. The answer is the same answer either way."""

    @property
    def texts(self) -> tuple[bytes, ...]:
        """The TXT records."""
        return tuple(record for record in self.records if isinstance(record, bytes))


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """DNS could not say: unknown, which is never the same as absent."""

    reason: str
    """For people: "timeout", "SERVFAIL", ..."""


class Lookup(Protocol):
    """Where DNS answers come from."""

    def look_up(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        """Answer for *name*, ASCII text without a trailing dot (SPF macros make odd names)."""
        ...


def texts_at(name: str, lookup: Lookup) -> tuple[bytes, ...] | LookupFailed:
    """Look up the TXT records of *name*."""
    answer = lookup.look_up(name, RecordType.TXT)
    return answer if isinstance(answer, LookupFailed) else answer.texts
