"""A record for somebody to publish, and DNS as it is once it is published."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from alignd.advice.overlay import Overlay
from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup

TTL = 3600
"""Seconds; short enough to fix a mistake within the hour."""


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
