"""DNS as it would be with some records changed: a Lookup laid over another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType


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
