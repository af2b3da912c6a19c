"""Every option of the configuration: its type, its default, and what makes a value valid.

The values are frozen, and valid once built. `alignd.config.file` makes them from a file. What an
option means to the operator is told in conf/alignd.conf.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from alignd.config.endpoint import InetSocket
from alignd.config.option_types import (
    Address,
    DomainName,
    Duration,
    EmptyIsNone,
    HeaderPatterns,
    HostName,
    Identity,
    IdleTimeout,
    IpNetwork,
    KeyRecord,
    List,
    Listen,
    ListenAddress,
    NameserverAddress,
    NameTemplate,
    Patterns,
    RelayAddress,
    Selector,
    Socket,
    TableName,
    Timeout,
)
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message

WHOLE = "(whole)"
"""The key under which validation puts a tenant's completed options; no key of a file."""


class Table(BaseModel):
    """A table of the configuration; an unknown key in it is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )


class MilterOptions(Table):
    """The socket that Postfix connects to, the processes behind it, and their limits."""

    socket: Socket = InetSocket(8899, "127.0.0.1")
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    max_connections: Annotated[int, Field(ge=1, le=60_000)] = 2000
    idle_timeout: IdleTimeout = 3600.0
    max_header_bytes: Annotated[int, Field(ge=1000, le=100_000_000)] = 1_000_000
    max_edits: Annotated[int, Field(ge=20, le=4000)] = 500
    max_body_bytes: Annotated[int, Field(ge=0, le=1_000_000_000)] = 5_000_000

    def workers_on(self, cores: int) -> int:
        """The number of workers on a machine with this many cores.

        At least two, so that one serves while the other is replaced. At most eight, which is more
        than a relay keeps busy: each worker has caches of its own to fill.
        """
        return self.workers or min(max(2, cores), 8)


class Relay(Table):
    """The HELO name and addresses that mail leaves with, which receivers check SPF for."""

    hostname: HostName
    addresses: Annotated[tuple[RelayAddress, ...], List, Field(min_length=1)]
    spf_include: DomainName | None = None


class Notifications(Table):
    """The sender of rewritten mail."""

    address: Address
    display_name: NameTemplate = "{name} via Helpdesk"
    envelope_sender: Address | None = None
    original_from: bool = True

    @property
    def domain(self) -> Domain:
        """The domain that rewritten mail is from, and that has to authenticate it."""
        return self.address.domain

    @property
    def bounces(self) -> Mailbox:
        """The envelope sender of rewritten mail."""
        return self.envelope_sender or self.address


class Helpdesk(Table):
    """The conditions that make a message a helpdesk message: its client, and header fields."""

    networks: Annotated[tuple[IpNetwork, ...], List] = Field(
        default=("127.0.0.0/8", "::1"), validate_default=True
    )
    authenticated: bool = True
    headers: Patterns = HeaderPatterns()


class RewriteOn(Enum):
    """The policies of the author domain under which an unaligned message is rewritten."""

    UNALIGNED = "unaligned"
    ANY_RECORD = "any-record"
    ENFORCED = "enforced"


class Rules(Table):
    """The operator's choices in the decision: when to rewrite, and what."""

    rewrite_on: Annotated[RewriteOn, Field(strict=False)] = RewriteOn.UNALIGNED
    align_envelope: bool = True
    reply_to: Literal["keep", "agent"] = "keep"
    dry_run: bool = False
    exempt: Annotated[tuple[DomainName, ...], List] = ()
    always: Annotated[tuple[DomainName, ...], List] = ()
    freemail: bool = True


class SignedDomain(Table):
    """A domain for which the signer behind alignd signs the mail of its authors, and the key."""

    domain: DomainName
    selector: Selector
    algorithm: Literal["rsa-sha256", "ed25519-sha256", "rsa-sha1"] = "rsa-sha256"
    identity: Identity = ""
    key_file: str = ""
    subdomains: bool = False


class Delegate(Table):
    """The record with which a customer delegates a selector: a CNAME of *target*, or a key."""

    selector: Selector
    target: DomainName | None = None
    public_key: KeyRecord = ""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Delegate:
        if (self.target is None) == (not self.public_key):
            raise ValueError("must have either 'target' (a CNAME) or 'public_key' (a TXT record)")
        return self


class OpenDkim(Table):
    """The tables of an OpenDKIM that signs behind alignd, as opendkim.conf(5) names them."""

    signing_table: TableName
    key_table: TableName


class DkimOptions(Table):
    """The DKIM signatures that count: upstream, on the message, and those still to be made."""

    trusted_authserv_ids: Annotated[tuple[str, ...], List] = ()
    verify: bool = False
    internal_hosts: Annotated[tuple[IpNetwork, ...], List] = Field(
        default=("127.0.0.1", "::1"), validate_default=True
    )
    signs: Annotated[tuple[SignedDomain, ...], List] = ()
    opendkim: OpenDkim | None = None
    delegate: Annotated[Delegate | None, EmptyIsNone] = None


class LogOptions(Table):
    """The detail of the log."""

    level: Literal["info", "debug"] = "info"


class MetricsOptions(Table):
    """The address that serves metrics and health checks."""

    # Prometheus has assigned all of 9100 to 9999, the customary range of exporters. This is the
    # milter's port with a 1 in front, below the range that Linux takes for outgoing connections.
    listen: Listen = ListenAddress("127.0.0.1", 18899)


class DnsOptions(Table):
    """The nameservers, and the limits of time and caching."""

    nameservers: Annotated[tuple[NameserverAddress, ...], List] = ()
    timeout: Timeout = 2.0
    min_ttl: Duration = 5.0
    max_ttl: Duration = 3600.0
    stale: Duration = 3 * 86400.0
    archive: str = ""


class Settings(Table):
    """The options that can differ from message to message: the general ones, or a tenant's."""

    relay: Relay
    notifications: Notifications
    rules: Rules = Rules()


class Tenant(Table):
    """One customer's helpdesk; *settings* are complete: its own options over the general ones."""

    match: Patterns
    settings: Annotated[Settings, Field(alias=WHOLE)]

    @field_validator("match")
    @classmethod
    def _asks_something(cls, match: HeaderPatterns) -> HeaderPatterns:
        if not match.patterns:
            raise ValueError("must name at least one header field, or every message matches")
        return match


class Configuration(Settings):
    """The whole configuration.

    In the file a tenant has only the options that differ. Validation lays them over the general
    ones, table by table, so that `settings_for` returns complete settings.
    """

    milter: MilterOptions = MilterOptions()
    helpdesk: Helpdesk = Helpdesk()
    dkim: DkimOptions = DkimOptions()
    dns: DnsOptions = DnsOptions()
    log: LogOptions = LogOptions()
    metrics: MetricsOptions = MetricsOptions()
    tenant: Annotated[tuple[Tenant, ...], List] = ()

    @model_validator(mode="before")
    @classmethod
    def _complete_tenants(cls, tables: Any) -> Any:
        tenants = tables.get("tenant") if isinstance(tables, dict) else None
        if not isinstance(tenants, list):
            return tables
        return tables | {"tenant": [_completed(tenant, tables) for tenant in tenants]}

    @property
    def all_settings(self) -> tuple[Settings, ...]:
        """All settings that a message may get: the general ones, then those of each tenant."""
        return (self, *(tenant.settings for tenant in self.tenant))

    def settings_for(self, message: Message) -> Settings:
        """Choose the settings of the first tenant whose patterns match, else the general ones."""
        for tenant in self.tenant:
            if tenant.match.match(message):
                return tenant.settings
        return self

    def narrowed_to(self, settings: Settings) -> Configuration:
        """Copy the configuration, with *settings*, perhaps a tenant's, for every message."""
        options = {name: getattr(settings, name) for name in Settings.model_fields}
        return self.model_copy(update=options | {"tenant": ()})


def _completed(tenant: Any, general: dict[str, Any]) -> Any:
    if not isinstance(tenant, dict):
        return tenant
    whole = {name: general[name] for name in Settings.model_fields if name in general}
    for name in Settings.model_fields:
        own = tenant.get(name)
        if isinstance(own, dict) and isinstance(whole.get(name, {}), dict):
            whole[name] = whole.get(name, {}) | own
        elif own is not None:
            whole[name] = own
    rest = {name: value for name, value in tenant.items() if name not in Settings.model_fields}
    return rest | {WHOLE: whole}
