"""What is known of a DNS host: how its forms want a record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
from fnmatch import fnmatchcase

from alignd.mail.domain import Domain


class ApexName(Enum):
    """How a form wants the name of the zone itself."""

    AT = "@"
    EMPTY = ""
    UNKNOWN = "unknown"


class Habit(Enum):
    """What a form does or wants that others do not."""

    PROXIES = "it offers to proxy a CNAME record, after which nobody sees the record"
    WANTS_QUOTES = "it takes the value of a TXT record in quotation marks, as master files do"
    WANTS_FINAL_DOT = "it appends the domain to the target of a CNAME that ends in no dot"


@dataclass(frozen=True, slots=True)
class DnsHost:
    """A company that hosts the DNS of domains."""

    name: str
    nameservers: tuple[str, ...]
    """Patterns of the names of its nameservers: a suffix, or with `*` for a part."""
    apex: ApexName
    """Other names stand in the form without the domain, unless this is unknown."""
    help: str
    """Its page that tells how to enter a record; empty where none was found."""
    looked_at: date
    """When that page was looked for, and what is said here compared with what was found."""
    name_field: str = ""
    """What the form calls the field of the name; empty where that is not known."""
    value_field: str = ""
    menu: str = ""
    """The way to the records through its menus."""
    habits: frozenset[Habit] = frozenset()

    def serves(self, nameserver: str) -> bool:
        """Whether *nameserver* is one of its own."""
        name = nameserver.lower()
        return any(
            name == pattern or fnmatchcase(name, f"*.{pattern}") for pattern in self.nameservers
        )

    def relative(self, name: str, zone: Domain) -> str | None:
        """How its form wants *name*, of a record in *zone*; None where that is not known."""
        if self.apex is ApexName.UNKNOWN:
            return None
        return self.apex.value if name == zone.name else relative_name(name, zone)


def relative_name(name: str, zone: Domain) -> str:
    """*name* without the name of its zone; "@" for the zone itself (RFC 1035, section 5.1)."""
    return "@" if name == zone.name else name.removesuffix(f".{zone}")
