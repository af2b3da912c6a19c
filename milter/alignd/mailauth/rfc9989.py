"""DMARC by RFC 9989, with the DNS tree walk (section 4.10)."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import (
    Discovery,
    DmarcRecord,
    DmarcRecords,
    Policy,
    Reading,
    Tags,
    stricter,
)
from alignd.mailauth.dns import LookupFailed, RecordType

_WALK_LABELS = 7
"""Labels of a longer name that are kept after the first query; at most 8 queries make a walk."""


@dataclass(frozen=True, slots=True)
class Step:
    """A name of the walk that has exactly one record."""

    domain: Domain
    tags: Tags

    @property
    def psd(self) -> str:
        """The psd tag: y, n, or u when it is missing or invalid."""
        value = ["u", *self.tags.values("psd")][-1]
        return value if value in {"y", "n"} else "u"


@dataclass(frozen=True, slots=True)
class Walk:
    """The records of a walk, longest name first, and the failure that ended it early, if any."""

    steps: tuple[Step, ...]
    failure: LookupFailed | None = None


def walk_names(domain: Domain) -> tuple[Domain, ...]:
    """List the names that a walk from *domain* looks up, at most eight, section 4.10."""
    count = len(domain.labels)
    rest = min(count - 1, _WALK_LABELS)
    return (domain, *(domain.last(labels) for labels in range(rest, 0, -1)))


@dataclass(frozen=True, slots=True)
class Rfc9989:
    """The `Model` of RFC 9989."""

    records: DmarcRecords
    reading: Reading = Reading.EXACT

    def walk(self, domain: Domain) -> Walk:
        """Walk up the tree from *domain*, section 4.10."""
        steps: list[Step] = []
        for name in walk_names(domain):
            found = self.records.at(name, self.reading)
            if isinstance(found, LookupFailed):
                return Walk(tuple(steps), found)
            if len(found) != 1:  # step 2: several records are discarded
                continue
            steps.append(Step(name, found[0]))
            if steps[-1].psd != "u":
                break
        return Walk(tuple(steps))

    def organizational_domain(self, domain: Domain) -> Domain | LookupFailed:
        """Find the organizational domain, section 4.10.2."""
        return organization_of(domain, self.walk(domain))

    def discover(self, author_domain: Domain) -> Discovery:
        """Find the policy with one walk, section 4.10.1."""
        walk = self.walk(author_domain)
        organization = organization_of(author_domain, walk)
        by_name = {step.domain: step for step in walk.steps}
        # The author domain's own record applies, even if the walk above it failed.
        step = by_name.get(author_domain)
        if step is None:
            if isinstance(organization, LookupFailed):
                return Discovery(Policy.UNKNOWN, None, organization, None)
            step = by_name.get(organization)
        if step is None and walk.steps and walk.steps[-1].psd == "y":
            step = walk.steps[-1]
        if step is None:
            return Discovery(Policy.ABSENT, None, organization, None)
        record = DmarcRecord.from_tags(step.tags)
        inherited = step.domain != author_domain
        policy = self._inherited_policy(author_domain, record) if inherited else record.policy
        return Discovery(policy, step.domain, organization, record)

    def _inherited_policy(self, author_domain: Domain, record: DmarcRecord) -> Policy:
        if record.nonexistent_policy is record.subdomain_policy:
            return record.subdomain_policy
        # np applies to names that do not exist at all (NXDOMAIN), section 3.2.13.
        answer = self.records.lookup.look_up(author_domain.name, RecordType.TXT)
        if isinstance(answer, LookupFailed):
            return stricter(record.subdomain_policy, record.nonexistent_policy)
        return record.subdomain_policy if answer.exists else record.nonexistent_policy


def organization_of(domain: Domain, walk: Walk) -> Domain | LookupFailed:
    """Choose the organizational domain of *domain* from the walk that it began, section 4.10.2."""
    if walk.failure is not None:
        return walk.failure
    for step in walk.steps:
        if step.psd == "n":
            return step.domain
        if step.psd == "y" and step.domain != domain:
            # One label below the public suffix domain; the walk may never have looked it up.
            return domain.last(len(step.domain.labels) + 1)
    return walk.steps[-1].domain if walk.steps else domain
