"""A record for somebody to publish, and DNS as it is once it is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType

TTL = 3600
"""Seconds; short enough to fix a mistake within the hour."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """Answers with *alias* or *texts* where there are some, and as *lookup* does elsewhere."""

    lookup: Lookup
    texts: Mapping[str, tuple[bytes, ...]]
    """All TXT records of a name, in lower case."""
    aliases: Mapping[str, Domain]
    """The name that a name is a CNAME of."""

    def look_up(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        """Answer for *name* as DNS will once the records are published."""
        owner = name.lower()
        if alias := self.aliases.get(owner):
            answer = self.lookup.look_up(alias.name, record_type)
            if isinstance(answer, LookupFailed):
                return answer
            return Answer(answer.records, alias_of=alias.name)  # it exists, target or none
        texts = self.texts.get(owner)
        if texts is not None and record_type is RecordType.TXT:
            return Answer(texts)
        answer = self.lookup.look_up(name, record_type)
        if isinstance(answer, LookupFailed) or answer.exists or not self._exists(owner):
            return answer
        return Answer(answer.records)  # a name with records below it exists (RFC 8020)

    def _exists(self, owner: str) -> bool:
        owners = (*self.texts, *self.aliases)
        return any(other == owner or other.endswith(f".{owner}") for other in owners)


class Kind(Enum):
    """What can be published."""

    TXT = "TXT"
    CNAME = "CNAME"


@dataclass(frozen=True, slots=True)
class Publication:
    """One record."""

    name: str
    """Where it is published: perhaps a wildcard."""
    answers: Domain
    """The name that is asked for it."""
    kind: Kind
    value: str
    """The whole record as one text, ASCII."""
    replaces: tuple[bytes, ...] = ()
    """The records of that name that go."""
    beside: tuple[bytes, ...] = ()
    """The other TXT records of that name, which stay."""

    def over(self, lookup: Lookup) -> Overlay:
        """DNS with this record in it."""
        if self.kind is Kind.CNAME:
            return Overlay(lookup, {}, {self.answers.name: Domain.parse(self.value)})
        texts = (*self.beside, self.value.encode("ascii"))
        return Overlay(lookup, {self.answers.name: texts}, {})


@dataclass(frozen=True, slots=True)
class Impossible:
    """Why a way to authorise the relay is closed; for people."""

    reason: str
