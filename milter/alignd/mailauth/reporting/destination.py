"""Says whether receivers may send the reports about a domain to an address elsewhere.

RFC 7489, section 7.1, and RFC 9990, section 4: where the address is in another organizational
domain than the record that names it, its own domain has to allow it, in a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import DmarcRecords, Model, policy_texts, record_name
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at
from alignd.mailauth.rfc7489 import PublicSuffixes, Rfc7489
from alignd.mailauth.rfc9989 import Rfc9989

ALLOWS = "v=DMARC1"
"""The whole record that allows it."""


class Permission(Enum):
    """Whether receivers send what they were asked for."""

    NOT_NEEDED = "the address is in the organizational domain of the record"
    GIVEN = "the domain of the address allows it"
    MISSING = "the domain of the address does not allow it, so that receivers send nothing"


def permission_name(domain: Domain, destination: Domain) -> Domain:
    """Where *destination* allows reports about *domain*, whose record asks for them."""
    return Domain(f"{domain}._report.{record_name(destination)}")


def wildcard_name(destination: Domain) -> str:
    """Where *destination* allows reports about every domain."""
    return f"*._report.{record_name(destination)}"


def permission_for(
    domain: Domain, destination: Domain, lookup: Lookup, suffixes: PublicSuffixes
) -> Permission | LookupFailed:
    """Whether reports about *domain*, whose record asks for them, may go to *destination*."""
    records = DmarcRecords(lookup)
    is_within = _is_within(domain, destination, (Rfc7489(records, suffixes), Rfc9989(records)))
    if isinstance(is_within, LookupFailed):
        return is_within
    if is_within:
        return Permission.NOT_NEEDED
    found = texts_at(permission_name(domain, destination).name, lookup)
    if isinstance(found, LookupFailed):
        return found
    return Permission.GIVEN if policy_texts(found) else Permission.MISSING


def _is_within(
    domain: Domain, destination: Domain, models: Sequence[Model]
) -> bool | LookupFailed:
    """Whether both are in one organizational domain by every one of *models*."""
    for model in models:
        own, other = map(model.organizational_domain, (domain, destination))
        for organization in (own, other):
            if isinstance(organization, LookupFailed):
                return organization
        if own != other:
            return False
    return True
