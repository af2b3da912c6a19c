"""The port to DNS: the questions that the core asks, and the answers it gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class RecordType(Enum):
    """The record types that SPF, DKIM and DMARC ask for; NS tells who hosts a domain's DNS."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    NS = "NS"
    PTR = "PTR"
    TXT = "TXT"


@dataclass(frozen=True, slots=True)
class MailExchange:
    """One MX record. *host* has no trailing dot, and is empty for a null MX (RFC 7505)."""

    preference: int
    host: str


Record = bytes | str | MailExchange
"""The data of one record: bytes for TXT, whose strings are joined without a separator (RFC 7208,
section 3.3; RFC 9989, section 4.5); text for A, AAAA, NS and PTR; MailExchange for MX."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of DNS, after CNAMEs are followed; no records mean that there are none."""

    records: tuple[Record, ...]
    exists: bool = True
    """False only for NXDOMAIN (RFC 8020). A name with records of other types, an empty
    non-terminal and a CNAME of a name that does not exist are names that exist."""
    alias_of: str = field(default="", compare=False)
    """The target of the CNAME at the name asked for; empty when there is none. It has no part in
    comparison: the records are the same with and without a CNAME."""

    @property
    def texts(self) -> tuple[bytes, ...]:
        """The TXT records."""
        return tuple(record for record in self.records if isinstance(record, bytes))


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """DNS gave no answer: the records are unknown, which is never the same as absent."""

    reason: str
    """For people: "timeout", "SERVFAIL", ..."""


class Lookup(Protocol):
    """A source of DNS answers: the network, a zone file, or advice laid over either."""

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        """Look up *name*, ASCII text without a trailing dot.

        It need not be a host name: SPF macros can make any label. A name that *is_private* may
        have the local part of an address in it: it is asked as any other, and written to no file.
        """
        ...


def texts_at(name: str, lookup: Lookup) -> tuple[bytes, ...] | LookupFailed:
    """Look up the TXT records of *name*."""
    answer = lookup.look_up(name, RecordType.TXT)
    return answer if isinstance(answer, LookupFailed) else answer.texts
