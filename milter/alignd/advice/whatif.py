"""What would happen to mail of author domains if something here, or in DNS, were different.

Each domain is judged twice, by the same rules as a message: as things are, and as they would be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from alignd.config.settings import Configuration, Relay, Settings, Tenants
from alignd.judgement.reasons import Reason
from alignd.judgement.review import Reviewer
from alignd.ledger.answer import Finding
from alignd.ledger.watch.look import TenantReviewers, look_at
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType

_MAX_ALIASES = 16  # that are followed, as a zone does
_ENDLESS = LookupFailed("CNAME loop")
_DNS_UNKNOWN: str = Reason.DNS_UNKNOWN.value


@dataclass(frozen=True, slots=True)
class Subject:
    """An author domain, as one tenant sends from it."""

    domain: Domain
    tenant: str = ""
    """Its label; empty for the general options."""
    messages: int | None = None
    """Those of 30 days; None where no ledger was asked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens to mail of a domain, and what would."""

    subject: Subject
    now: Finding
    then: Finding

    @property
    def is_unknown(self) -> bool:
        """Whether DNS did not say what would be one of the two."""
        return _DNS_UNKNOWN in {self.now.reason, self.then.reason}

    @property
    def is_same_action(self) -> bool:
        return self.now.action == self.then.action

    @property
    def is_change(self) -> bool:
        """Whether something else would happen to its mail, or the same for another reason.

        That is no less of a change: mail that passes may be left to fail.
        """
        is_same = self.is_same_action and self.now.reason == self.then.reason
        return not self.is_unknown and not is_same


@dataclass(frozen=True, slots=True)
class Remembered:
    """A Lookup that answers as *lookup* did before, so that two judgements have the same DNS."""

    lookup: Lookup
    answers: dict[tuple[str, RecordType], Answer | LookupFailed] = field(default_factory=dict)

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        question = (name.lower(), record_type)
        if question not in self.answers:
            answer = self.lookup.look_up(name, record_type, is_private=is_private)
            self.answers[question] = answer
        return self.answers[question]

    def renewed(self, lookup: Lookup) -> Remembered:
        """The same memory, with *lookup* for what is not in it."""
        return replace(self, lookup=lookup)


class View:
    """What comes of one configuration for each tenant; safe for threads."""

    def __init__(self, reviewer: Reviewer) -> None:
        self._reviewers = TenantReviewers(reviewer)

    def knows(self, tenant: str) -> bool:
        """Whether there is such a tenant; mail of others gets the general options."""
        return self._reviewers.has(tenant)

    def judge(self, subject: Subject, lookup: Lookup) -> Finding:
        """Judge a message such as its helpdesk sends.

        Raises:
            UnsafeEditError: a rewritten message would not be what it must be.
        """
        label = subject.tenant if self.knows(subject.tenant) else ""
        return look_at(self._reviewers.of(label), subject.domain, lookup)


class AddressError(ValueError):
    """A change of relay addresses that makes no sense."""


def with_addresses(
    configuration: Configuration, added: Collection[IpAddress], removed: Collection[IpAddress]
) -> Configuration:
    """*configuration* with other addresses that mail leaves from, for each tenant too.

    Raises:
        AddressError: an address changes nothing anywhere, or none would be left.
    """
    relays = [each.relay for each in configuration.all_settings]
    anywhere = {address for relay in relays for address in relay.addresses}
    everywhere = {each for each in anywhere if all(each in relay.addresses for relay in relays)}
    if both := set(added) & set(removed):
        raise AddressError(f"{_first(both)} is both added and removed")
    if there := set(added) & everywhere:
        raise AddressError(f"mail leaves from {_first(there)} already (relay.addresses)")
    if missing := set(removed) - anywhere:
        raise AddressError(f"mail does not leave from {_first(missing)} (relay.addresses)")
    changed: dict[int, Settings] = {}
    """What becomes of each of the settings, which many tenants may share."""
    for each in configuration.all_settings:
        relay = _changed(each.relay, added, removed)
        if not relay.addresses:
            raise AddressError(f"no address of {each.relay.hostname} would be left")
        changed[id(each)] = each.model_copy(update={"relay": relay})
    tenants = (
        each.model_copy(update={"settings": changed[id(each.settings)]})
        for each in configuration.tenant
    )
    relay = changed[id(configuration)].relay
    return configuration.model_copy(update={"relay": relay, "tenant": Tenants(tenants)})


class Records(Protocol):
    """Records that somebody has written down, of any names."""

    def has(self, name: str) -> bool:
        """Whether something is written of *name*, or of a name below it."""
        ...

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        """Answer as if nothing else were in DNS."""
        ...


@dataclass(frozen=True, slots=True)
class LaidOver:
    """DNS as it would be with *records*: a Lookup.

    They replace what *lookup* has of the same name and type. A CNAME replaces all of its name, and
    a wildcard answers for names that *lookup* does not have.
    """

    records: Records
    lookup: Lookup

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        alias_of = ""
        for _ in range(_MAX_ALIASES):
            answer = self._at(name, record_type, is_private=is_private)
            if isinstance(answer, LookupFailed):
                return answer
            if not answer.alias_of:
                exists = answer.exists or bool(alias_of)
                return Answer(answer.records, exists, alias_of)
            # Asked for by its own name, since the records may have something of it.
            alias_of, name = alias_of or answer.alias_of, answer.alias_of
        return _ENDLESS

    def _at(
        self, name: str, record_type: RecordType, *, is_private: bool
    ) -> Answer | LookupFailed:
        """What is at *name* itself; behind an alias, its target is what counts."""
        is_written = self.records.has(name)
        if is_written:
            written = self.records.look_up(name, record_type)
            if isinstance(written, LookupFailed) or written.records or written.alias_of:
                return written
        answer = self.lookup.look_up(name, record_type, is_private=is_private)
        if isinstance(answer, LookupFailed) or answer.exists:
            return answer
        if is_written:
            return Answer(())  # a name with others below it exists (RFC 8020)
        return self.records.look_up(name, record_type)  # by a wildcard, or nothing


@dataclass(frozen=True, slots=True)
class Total:
    """How many domains change, and their messages."""

    domains: int
    messages: int

    @classmethod
    def of(cls, outcomes: Collection[Outcome]) -> Total:
        return cls(len(outcomes), sum(each.subject.messages or 0 for each in outcomes))


def by_tenant(changes: Iterable[Outcome]) -> dict[str, Total]:
    """What changes for each tenant; the most messages first."""
    domains, messages = Counter[str](), Counter[str]()
    for each in changes:
        domains[each.subject.tenant] += 1
        messages[each.subject.tenant] += each.subject.messages or 0
    order = sorted(domains, key=lambda label: (-messages[label], -domains[label], label))
    return {label: Total(domains[label], messages[label]) for label in order}


def _changed(relay: Relay, added: Collection[IpAddress], removed: Collection[IpAddress]) -> Relay:
    kept = tuple(each for each in relay.addresses if each not in removed)
    new = tuple(each for each in added if each not in kept)
    return relay.model_copy(update={"addresses": kept + new})


def _first(addresses: Iterable[IpAddress]) -> str:
    return min(map(str, addresses))
