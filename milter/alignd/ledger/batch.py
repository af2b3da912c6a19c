"""What happened since the last write, added up: all that one transaction writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import NamedTuple

from alignd.ledger.answer import OTHER, Finding

HOUR, DAY = 3600, 86_400
"""Seconds."""


class CountKey(NamedTuple):
    """What messages are counted by."""

    hour: int
    """The Unix time at which the hour begins, UTC."""
    tenant: str
    domain: str
    action: str
    reason: str


class DomainKey(NamedTuple):
    """An author domain, as one tenant sends from it."""

    tenant: str
    domain: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the messages of an author domain said."""

    finding: Finding
    """The last one's."""
    first: float
    """Unix time of the first of them."""
    last: float

    def merged(self, later: Seen) -> Seen:
        """These messages and *later* ones, of which a clock that was set back may say less."""
        newest = later if later.last >= self.last else self
        return Seen(newest.finding, min(self.first, later.first), newest.last)


@dataclass(frozen=True, slots=True)
class Batch:
    """Counts to add, and domains that were seen."""

    counts: Mapping[CountKey, int] = field(default_factory=dict)
    seen: Mapping[DomainKey, Seen] = field(default_factory=dict)
    """Without `NO_DOMAIN`, `OTHER` and messages that are no helpdesk's (action `skip`)."""

    @property
    def messages(self) -> int:
        return sum(self.counts.values())

    @property
    def of_other_domains(self) -> int:
        """Those that are counted under no domain of their own."""
        return sum(number for key, number in self.counts.items() if key.domain == OTHER)

    @property
    def rows(self) -> int:
        """How much it takes to keep and to write."""
        return len(self.counts) + len(self.seen)

    def merged(self, later: Batch) -> Batch:
        """This batch and a *later* one as one."""
        counts = Counter(self.counts)
        counts.update(later.counts)
        seen = dict(self.seen)
        for key, new in later.seen.items():
            seen[key] = seen[key].merged(new) if key in seen else new
        return Batch(dict(counts), seen)

    def to_json(self) -> str:
        counts = [[*key, number] for key, number in self.counts.items()]
        seen = [
            [*key, *astuple(each.finding), each.first, each.last]
            for key, each in self.seen.items()
        ]
        return json.dumps({"counts": counts, "seen": seen}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Batch:
        """Read what `to_json` wrote, perhaps by an earlier version.

        Raises:
            ValueError: it is something else.
        """
        try:
            document = json.loads(text)
            counts = {CountKey(*key): int(number) for *key, number in document["counts"]}
            seen = {
                DomainKey(tenant, domain): Seen(Finding(*words), float(first), float(last))
                for tenant, domain, *words, first, last in document["seen"]
            }
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a batch: {error}") from error
        return cls(counts, seen)
