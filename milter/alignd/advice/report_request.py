"""How the owner of an author domain has reports about it sent to the operator as well.

No mail depends on it. Both records, the owner's and the operator's, are laid over DNS and read as
receivers do before they are shown: the policy stays as it is, and the address gets the reports.
"""

from __future__ import annotations

from dataclasses import dataclass

from alignd.advice.publication import Impossible, Kind, Publication
from alignd.advice.wildcard import wildcard_of
from alignd.judgement.review import Reviewer
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dmarc import (
    Discovery,
    DmarcRecords,
    Policy,
    Reading,
    Tags,
    policy_texts,
    record_name,
    stricter,
)
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType
from alignd.mailauth.reporting.destination import (
    ALLOWS,
    Permission,
    permission_for,
    permission_name,
    wildcard_name,
)
from alignd.mailauth.reporting.rua import asks, report_addresses, with_address
from alignd.mailauth.rfc7489 import PublicSuffixes, Rfc7489
from alignd.mailauth.rfc9989 import Rfc9989

MAX_ADDRESSES = 2
"""Addresses of a record that every receiver sends to (RFC 7489, section 6.2)."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The records that make receivers send reports about a domain to *address*."""

    address: Mailbox
    policy: Policy
    """What the domain asks receivers to do, before and after."""
    publication: Publication | None
    """The DMARC record of the domain; None where it asks for that already."""
    permission: Publication | None
    """The operator's record that allows it; None where none is missing."""
    notes: tuple[str, ...] = ()

    @property
    def wildcard(self) -> str:
        """Where the operator allows it for every domain at once."""
        return wildcard_name(self.address.domain)


def advise_reports(
    domain: Domain, address: Mailbox, lookup: Lookup, suffixes: PublicSuffixes
) -> ReportRequest | Impossible:
    """Say which records have reports about *domain* sent to *address*."""
    found = _discover(domain, lookup, suffixes)
    owner = _owner(domain, found)
    if isinstance(owner, Impossible):
        return owner
    publication = _publication(owner, address, lookup)
    if isinstance(publication, Impossible):
        return publication
    allowed = permission_for(owner, address.domain, lookup, suffixes)
    if isinstance(allowed, LookupFailed):
        return Impossible(f"DNS did not say whether {address.domain} allows it: {allowed.reason}")
    permission = _permission(owner, address.domain) if allowed is Permission.MISSING else None
    after = publication.over(lookup)
    if permission:
        after = permission.over(after)
    is_allowed = permission_for(owner, address.domain, after, suffixes) in {
        Permission.NOT_NEEDED,
        Permission.GIVEN,
    }
    if not is_allowed or _discover(domain, after, suffixes) != found:
        return Impossible(f"the record of {record_name(owner)} cannot be changed without harm")
    is_published = publication.replaces == (publication.value.encode(),)
    return ReportRequest(
        address,
        stricter(*(each.policy for each in found[:2])),
        None if is_published else publication,
        permission,
        () if is_published else _notes(publication, address),
    )


def advise_wanted_reports(
    reviewer: Reviewer, author: Mailbox, lookup: Lookup
) -> ReportRequest | Impossible | None:
    """The same for the domain of *author*; None where no reports about it are wanted."""
    address = reviewer.configuration.reports.address
    if address is None or author.domain in reviewer.freemail:
        return None
    return advise_reports(author.domain, address, lookup, reviewer.suffixes)


def _discover(
    domain: Domain, lookup: Lookup, suffixes: PublicSuffixes
) -> tuple[Discovery, Discovery, Discovery, Discovery]:
    """What receivers of either RFC find, and those that take more for a record."""
    records = DmarcRecords(lookup)
    exact, lenient = Reading.EXACT, Reading.LENIENT
    return (
        Rfc7489(records, suffixes, exact).discover(domain),
        Rfc9989(records, exact).discover(domain),
        Rfc7489(records, suffixes, lenient).discover(domain),
        Rfc9989(records, lenient).discover(domain),
    )


def _owner(domain: Domain, found: tuple[Discovery, ...]) -> Domain | Impossible:
    """The domain whose record it is that receivers find for *domain*."""
    if any(each.policy is Policy.UNKNOWN for each in found):
        return Impossible(f"DNS did not say what DMARC record {domain} has")
    owners = {each.record_domain for each in found}
    (owner, *others) = owners
    if others:
        return Impossible(f"receivers do not agree on which DMARC record {domain} has")
    if owner is None:
        return Impossible(f"{domain} has no DMARC record, and without one there are no reports")
    return owner


def _publication(owner: Domain, address: Mailbox, lookup: Lookup) -> Publication | Impossible:
    """The record that asks; the one that is there where it does so."""
    name = Domain(record_name(owner))
    answer = lookup.look_up(name.name, RecordType.TXT)
    if isinstance(answer, LookupFailed):
        return Impossible(f"DNS did not say what DMARC record {owner} has: {answer.reason}")
    texts = policy_texts(answer.texts)
    if len(texts) != 1 or not texts[0].isascii():
        return Impossible(f"not every receiver can read the DMARC record at {name}")
    text = texts[0]
    is_asking = asks(text.decode("ascii"), address)
    if not is_asking and answer.alias_of:
        return Impossible(
            f"{name} is an alias (CNAME) of {answer.alias_of}: whoever has that name adds "
            f"mailto:{address.address} to rua there"
        )
    value = text.decode("ascii") if is_asking else with_address(text.decode("ascii"), address)
    if value is None:
        return Impossible(f"not every receiver reads rua at {name} in one way: mend it first")
    wildcard = wildcard_of(name, lookup)
    if isinstance(wildcard, LookupFailed):
        return Impossible(f"DNS did not say what DMARC record {owner} has: {wildcard.reason}")
    beside = tuple(sorted(each for each in answer.texts if each != text))
    return Publication(wildcard or name.name, name, Kind.TXT, value, (text,), beside)


def _permission(owner: Domain, destination: Domain) -> Publication:
    name = permission_name(owner, destination)
    return Publication(name.name, name, Kind.TXT, ALLOWS)


def _notes(publication: Publication, address: Mailbox) -> tuple[str, ...]:
    addresses = report_addresses(Tags.parse(publication.value))
    place = addresses.index(address.address.lower()) + 1
    if place <= MAX_ADDRESSES:
        return ()
    return (
        f"{address.address} is address number {place}: some receivers send reports to the first "
        f"{MAX_ADDRESSES} (RFC 7489, section 6.2)",
    )
