"""Makes and reads return addresses as a configuration has it, which differs by their domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from alignd.config.settings import Configuration, Settings
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import (
    Invalid,
    Kind,
    ReturnAddress,
    Unfit,
    decode,
    encode,
    has_form,
)
from alignd.return_path.keyring import Keyring


@dataclass(frozen=True, slots=True)
class KeyTrouble:
    """Why the keys of a domain are not there; its addresses are neither good nor bad."""

    problem: str


class Nobody(Enum):
    """Why mail to an address is refused for good, besides `Invalid`."""

    BLOCKED = "blocked"
    """return.blocked names the author."""
    ELSEWHERE = "elsewhere"
    """The domain is none of return addresses."""


@dataclass(frozen=True, slots=True)
class Found:
    """A return address that holds, and where what comes to it is delivered."""

    address: ReturnAddress
    domain: Domain
    deliver_to: Mailbox


@dataclass(frozen=True, slots=True)
class DomainOfReturn:
    """What holds for all return addresses in one domain."""

    keyring: Keyring | KeyTrouble
    deliver_to: Mailbox | None
    """None for the author himself."""
    blocked: frozenset[str]
    """Authors, in lower case."""

    def find(
        self, local_part: str, domain: Domain, now: float
    ) -> Found | Invalid | Nobody | KeyTrouble:
        """Whose return address *local_part* in *domain*, which is this one, is."""
        if isinstance(self.keyring, KeyTrouble):
            # What is none with any key is refused without one.
            return self.keyring if has_form(local_part) else Invalid.FORM
        read = decode(local_part, domain, self.keyring, now)
        if isinstance(read, Invalid):
            return read
        if read.author.address in self.blocked:
            return Nobody.BLOCKED
        # A bounce is the author's, whoever gets the answers.
        to = read.author if read.kind is Kind.BOUNCE else self.deliver_to or read.author
        return Found(read, domain, to)


@dataclass(frozen=True, slots=True)
class Directory:
    """The domains of return addresses."""

    domains: Mapping[Domain, DomainOfReturn]

    def find(self, address: str, now: float) -> Found | Invalid | Nobody | KeyTrouble:
        """Whose return address this is, at the Unix time *now*, and where its mail goes."""
        local_part, _, name = address.rpartition("@")
        try:
            domain = Domain.parse(name)
        except DomainError:
            return Nobody.ELSEWHERE
        entry = self.domains.get(domain)
        return Nobody.ELSEWHERE if entry is None else entry.find(local_part, domain, now)

    def marked_author(self, mark: str, domain: Domain, now: float) -> Mailbox | None:
        """Whose mark this is, of those made in *domain*; None where it is no good one."""
        entry = self.domains.get(domain)
        if entry is None or isinstance(entry.keyring, KeyTrouble):
            return None
        read = decode(mark, domain, entry.keyring, now, is_mark=True)
        return None if isinstance(read, Invalid) else read.author

    def make(
        self, author: Mailbox, kind: Kind, settings: Settings, now: float
    ) -> Mailbox | Unfit | None:
        """The address of *author* under *settings*; None where return addresses are off.

        Raises:
            LookupError: the keys are not there.
        """
        if not settings.return_path.keys:
            return None
        domain = settings.return_domain
        entry = self.domains[domain]
        if isinstance(entry.keyring, KeyTrouble):
            raise LookupError(entry.keyring.problem)
        if author.address.lower() in entry.blocked:
            return Unfit.BLOCKED
        return encode(author, kind, domain, entry.keyring.signing, now)


def make_directory(
    configuration: Configuration, keyrings: Mapping[str, Keyring | KeyTrouble]
) -> Directory:
    """Make the directory of a configuration; *keyrings* has one for each key file."""
    domains: dict[Domain, DomainOfReturn] = {}
    for settings in configuration.all_settings:
        options = settings.return_path
        if not options.keys:
            continue
        blocked = frozenset(each.address.lower() for each in options.blocked)
        known = domains.get(settings.return_domain)
        if known is not None:
            blocked |= known.blocked
        domains[settings.return_domain] = DomainOfReturn(
            keyrings[options.keys], options.mailbox, blocked
        )
    return Directory(domains)


NO_DIRECTORY = Directory({})
"""Where return addresses are off."""
