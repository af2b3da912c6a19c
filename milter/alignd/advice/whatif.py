"""What would change for author domains under another configuration, or with other records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from alignd.config.settings import Configuration, Relay, Settings, Tenant, Tenants
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.review import Reviewer
from alignd.ledger.answer import Finding
from alignd.ledger.watch.look import look_at
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType

_ALONE = {Action.PASS.value, Action.SKIP.value, Action.ENVELOPE.value}
"""The actions that leave From as it is."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An author domain, as one tenant sends from it."""

    tenant: str
    domain: Domain
    messages: int = 0
    """Those of thirty days."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What happens to mail of a domain, and what would."""

    subject: Subject
    now: Finding
    then: Finding

    @property
    def is_unknown(self) -> bool:
        """Whether DNS could not say one or the other."""
        return Reason.DNS_UNKNOWN.value in {self.now.reason, self.then.reason}

    @property
    def changes(self) -> bool:
        return not self.is_unknown and self.now.action != self.then.action

    @property
    def loses_name(self) -> bool:
        """Whether its agents would lose their names."""
        return self.changes and self.now.action in _ALONE and self.then.action not in _ALONE

    @property
    def gains_name(self) -> bool:
        return self.changes and self.now.action not in _ALONE and self.then.action in _ALONE


class World:
    """How mail is judged: by a reviewer, for each tenant under its settings, with some DNS."""

    def __init__(
        self, reviewer: Reviewer, laid_over: Callable[[Lookup], Lookup] = lambda lookup: lookup
    ) -> None:
        """*laid_over* has other records over those of a lookup."""
        self._reviewer = reviewer
        self._labelled = reviewer.configuration.labelled_settings()
        self._laid_over = laid_over
        self._reviewers: dict[str, Reviewer] = {}

    def look(self, subject: Subject, lookup: Lookup) -> Finding:
        reviewer = self._reviewers.get(subject.tenant)
        if reviewer is None:
            reviewer = self._reviewers[subject.tenant] = self._reviewer_of(subject.tenant)
        return look_at(reviewer, subject.domain, self._laid_over(lookup))

    def _reviewer_of(self, tenant: str) -> Reviewer:
        # One that this configuration does not have gets the general options, as its mail would.
        settings = self._labelled.get(tenant, self._labelled[""])
        configuration = self._reviewer.configuration.narrowed_to(settings)
        return replace(self._reviewer, configuration=configuration)


def compare(subject: Subject, now: World, then: World, lookup: Lookup) -> Comparison:
    """Judge mail of *subject* as things are and as they would be, with the same answers of DNS."""
    return Comparison(subject, now.look(subject, lookup), then.look(subject, lookup))


@dataclass(frozen=True, slots=True)
class LaidOver:
    """A Lookup that has the records of *over* where it has any, and else those of *lookup*."""

    lookup: Lookup
    over: Lookup

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        found = self.over.look_up(name, record_type)
        if isinstance(found, LookupFailed) or found.records:
            return found
        if found.alias_of:
            return self._behind(found.alias_of, record_type)
        answer = self.lookup.look_up(name, record_type, is_private=is_private)
        is_new = found.exists and isinstance(answer, Answer) and not answer.exists
        return found if is_new else answer

    def _behind(self, alias: str, record_type: RecordType) -> Answer | LookupFailed:
        answer = self.lookup.look_up(alias, record_type)
        if isinstance(answer, LookupFailed):
            return answer
        return Answer(answer.records, alias_of=alias)


@dataclass(frozen=True, slots=True)
class AddressChange:
    """An address that mail would leave from, or no longer."""

    address: IpAddress
    is_added: bool


class AddressError(ValueError):
    """An address cannot be added or taken away; the text says why."""


def with_addresses(
    configuration: Configuration, changes: Iterable[AddressChange]
) -> Configuration:
    """The configuration with other addresses of the relay.

    A tenant with addresses of its own keeps them.

    Raises:
        AddressError: an address is there already, or is not, or none would be left.
    """
    before = configuration.relay
    addresses = list(before.addresses)
    for change in changes:
        if change.is_added == (change.address in addresses):
            already = "already in" if change.is_added else "not in"
            raise AddressError(f"{change.address} is {already} relay.addresses")
        if change.is_added:
            addresses.append(change.address)
        else:
            addresses.remove(change.address)
    if not addresses:
        raise AddressError("no address would be left in relay.addresses")

    def changed(relay: Relay) -> Relay:
        if relay.addresses != before.addresses:
            return relay
        return relay.model_copy(update={"addresses": tuple(addresses)})

    return _with_relays(configuration, changed)


def _with_relays(configuration: Configuration, changed: Callable[[Relay], Relay]) -> Configuration:
    settings: dict[int, Settings] = {}  # many tenants share theirs

    def tenant_changed(tenant: Tenant) -> Tenant:
        old = tenant.settings
        new = settings.setdefault(id(old), old.model_copy(update={"relay": changed(old.relay)}))
        return tenant.model_copy(update={"settings": new})

    return configuration.model_copy(
        update={
            "relay": changed(configuration.relay),
            "tenant": Tenants(map(tenant_changed, configuration.tenant)),
        }
    )
