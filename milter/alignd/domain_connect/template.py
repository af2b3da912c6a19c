"""Our template, which DNS hosts are given once: the records of draft-03, section 6."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from alignd.config.settings import Configuration, Delegate, DomainConnectOptions
from alignd.mail.domain import Domain

TTL = 3600
"""Seconds; a host may take others (section 6.2)."""


class Group(Enum):
    """The groups of records, of which a link may apply one alone (section 10.3)."""

    SPF = "spf"
    DKIM = "dkim"


@dataclass(frozen=True, slots=True)
class TemplateId:
    """The names under which hosts know a template."""

    provider: str
    service: str

    @classmethod
    def of(cls, options: DomainConnectOptions, provider: Domain) -> TemplateId:
        """The name of the template of *options*, which name *provider*."""
        return cls(provider.name, options.service)

    def __str__(self) -> str:
        return f"{self.provider}/{self.service}"


def make_template(configuration: Configuration, provider: Domain, version: int) -> dict[str, Any]:
    """The template that authorises the relay, as JSON."""
    options = configuration.domain_connect
    return {
        "providerId": provider.name,
        "providerName": options.provider_name or provider.name,
        "serviceId": options.service,
        "serviceName": options.service_name,
        "version": version,
        "description": "Authorises a relay to send the mail of the domain's own helpdesk agents.",
        "syncBlock": False,
        # Its presence has hosts refuse a link that we have not signed (section 8.3.4).
        "syncPubKeyDomain": provider.name,
        "records": make_records(configuration),
    }


def make_records(configuration: Configuration) -> list[dict[str, Any]]:
    """The records that the general options have for author domains; there may be none."""
    include, delegate = configuration.relay.spf_include, configuration.dkim.delegate
    records = []
    if include is not None:
        records.append(_spf(include))
    if delegate is not None:
        records.append(_dkim(delegate))
    return records


def groups_of(configuration: Configuration) -> tuple[Group, ...]:
    """The groups of the template's records."""
    return tuple(Group(each["groupId"]) for each in make_records(configuration))


def _spf(include: Domain) -> dict[str, Any]:
    # The host merges it into the record that the domain has (section 9.4). A TXT record would be
    # a second one, which is an error to every receiver (RFC 7208, section 4.5).
    rules = f"include:{include}"
    return {"type": "SPFM", "groupId": Group.SPF.value, "host": "@", "spfRules": rules}


def _dkim(delegate: Delegate) -> dict[str, Any]:
    common = {"groupId": Group.DKIM.value, "host": f"{delegate.selector}._domainkey", "ttl": TTL}
    if delegate.target is not None:
        return {"type": "CNAME", **common, "pointsTo": delegate.target.name}
    # As one text, however long: hosts split it. Two keys at one name would be none (RFC 6376,
    # section 3.6.2.2), so this takes the place of another.
    return {
        "type": "TXT",
        **common,
        "data": delegate.public_key,
        "txtConflictMatchingMode": "All",
    }
