"""A record as the form of a DNS host wants it."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.advice.publication import Kind, Publication
from alignd.letter.dns_host import Habit, relative_name
from alignd.letter.hosting import Hosting
from alignd.mail.domain import Domain
from alignd.mailauth.spf_record import MAX_STRING


@dataclass(frozen=True, slots=True)
class Entry:
    """What to enter, and what of it is particular to the host."""

    publication: Publication
    hosting: Hosting

    @property
    def name(self) -> str | None:
        """The name as its form wants it; None where that is not known."""
        zone, host = self.hosting.zone, self.hosting.host
        return host.relative(self.publication.name, zone) if host and zone else None

    @property
    def relative_name(self) -> str:
        """The name without the zone; the whole name where the zone is not known."""
        zone = self.hosting.zone
        return relative_name(self.publication.name, zone) if zone else self.publication.name

    @property
    def doubled_name(self) -> str:
        """What becomes of the name where a form appends the zone to all of it."""
        return f"{self.publication.name}.{self.zone}"

    @property
    def value(self) -> str:
        """The value as its form wants it."""
        if self.is_text and self.has(Habit.WANTS_QUOTES):
            return " ".join(self.publication.quoted_strings)
        if not self.is_text and self.has(Habit.WANTS_FINAL_DOT):
            return f"{self.publication.value}."
        return self.publication.value

    @property
    def is_text(self) -> bool:
        return self.publication.kind is Kind.TXT

    @property
    def is_spf(self) -> bool:
        return self.is_text and not self.is_dkim_key

    @property
    def is_dkim_key(self) -> bool:
        """Whether it is a key, or delegates one (RFC 6376, section 3.6.2.1)."""
        return "._domainkey." in self.publication.name

    @property
    def is_long(self) -> bool:
        """Whether it does not fit in one string of a TXT record (RFC 1035, section 3.3)."""
        return self.is_text and len(self.publication.value) > MAX_STRING

    @property
    def zone(self) -> Domain:
        """The zone; where it is not known, the name below the underscores is as good a guess."""
        if self.hosting.zone:
            return self.hosting.zone
        labels = self.publication.name.split(".")
        hidden = [
            place for place, label in enumerate(labels) if label == "*" or label.startswith("_")
        ]
        return Domain(".".join(labels[hidden[-1] + 1 :] if hidden else labels))

    def has(self, habit: Habit) -> bool:
        """Whether its host is known to have *habit*."""
        return self.hosting.host is not None and habit in self.hosting.host.habits
