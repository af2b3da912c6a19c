"""A record for a domain owner to publish, and DNS as it will be then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType
from alignd.mailauth.spf_record import quoted_strings

TTL = 3600
"""Seconds; a mistake can be corrected within the hour."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A Lookup that answers with *texts* and *aliases*, and for other names as *lookup* does."""

    lookup: Lookup
    texts: Mapping[str, tuple[bytes, ...]]
    """All TXT records of a name, in lower case."""
    aliases: Mapping[str, Domain]
    """The target of the CNAME at a name, in lower case."""

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        """Answer as DNS will once the records are published."""
        owner = name.lower()
        if alias := self.aliases.get(owner):
            answer = self.lookup.look_up(alias.name, record_type)
            if isinstance(answer, LookupFailed):
                return answer
            return Answer(
                answer.records, alias_of=alias.name
            )  # a CNAME exists, whether its target does or not
        texts = self.texts.get(owner)
        if texts is not None and record_type is RecordType.TXT:
            return Answer(texts)
        answer = self.lookup.look_up(name, record_type, is_private=is_private)
        if isinstance(answer, LookupFailed) or answer.exists or not self._exists(owner):
            return answer
        return Answer(answer.records)  # a name with names below it exists (RFC 8020)

    def _exists(self, owner: str) -> bool:
        owners = (*self.texts, *self.aliases)
        return any(other == owner or other.endswith(f".{owner}") for other in owners)


class Kind(Enum):
    """The type of a published record."""

    TXT = "TXT"
    CNAME = "CNAME"


@dataclass(frozen=True, slots=True)
class Publication:
    """One record to publish, and the records of its name that it replaces or joins."""

    name: str
    """The name that it is published at, perhaps a wildcard."""
    answers: Domain
    """The name that receivers look it up at."""
    kind: Kind
    value: str
    """The whole record as one text, ASCII."""
    replaces: tuple[bytes, ...] = ()
    """The records of that name that it replaces."""
    beside: tuple[bytes, ...] = ()
    """The other TXT records of that name, which stay."""

    @property
    def quoted_strings(self) -> tuple[str, ...]:
        """The character-strings of the value as a master file has them (RFC 1035, section 5.1)."""
        return quoted_strings(self.value)

    def over(self, lookup: Lookup) -> Overlay:
        """Lay the record over *lookup*."""
        if self.kind is Kind.CNAME:
            return Overlay(lookup, {}, {self.answers.name: Domain.parse(self.value)})
        texts = (*self.beside, self.value.encode("ascii"))
        return Overlay(lookup, {self.answers.name: texts}, {})


@dataclass(frozen=True, slots=True)
class Impossible:
    """A way to authorise the relay that is closed; *reason* is for people."""

    reason: str
