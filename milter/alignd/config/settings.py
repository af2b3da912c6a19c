"""Every option of the configuration: its type, its default, and what makes a value valid.

The values are frozen, and valid once built. `alignd.config.file` makes them from a file. What an
option means to the operator is told in conf/alignd.conf.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

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
    Timeout,
)
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message


class Table(BaseModel):
    """A table of the configuration; an unknown key in it is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )


class Milter(Table):
    """Where Postfix finds us."""

    socket: Socket = "inet:8899@127.0.0.1"
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    max_connections: Annotated[int, Field(ge=1, le=60_000)] = 2000
    idle_timeout: IdleTimeout = 3600.0
    max_header_bytes: Annotated[int, Field(ge=1000, le=100_000_000)] = 1_000_000
    max_body_bytes: Annotated[int, Field(ge=0, le=1_000_000_000)] = 32_000_000

    def workers_on(self, cores: int) -> int:
        """How many workers share the socket on a machine with so many cores.

        Two at the least, since one serves while the other is replaced; and no more than a relay
        can keep busy, since each has to get to know the authors by itself.
        """
        return self.workers or min(max(2, cores), 8)


class Relay(Table):
    """How mail leaves: what receivers judge."""

    hostname: HostName
    addresses: Annotated[tuple[RelayAddress, ...], List, Field(min_length=1)]
    spf_include: DomainName | None = None


class Notifications(Table):
    """Whom rewritten mail is from."""

    address: Address
    display_name: NameTemplate = "{name} via Helpdesk"
    envelope_sender: Address | None = None
    original_from: bool = True

    @property
    def domain(self) -> Domain:
        """The notifications domain."""
        return self.address.domain

    @property
    def bounces(self) -> Mailbox:
        """The envelope sender of rewritten mail."""
        return self.envelope_sender or self.address


class Helpdesk(Table):
    """Which messages are helpdesk messages."""

    networks: Annotated[tuple[IpNetwork, ...], List] = Field(
        default=("127.0.0.0/8", "::1"), validate_default=True
    )
    authenticated: bool = True
    headers: Patterns = HeaderPatterns()


class RewriteOn(Enum):
    """Which policies of the author domain an unaligned message is rewritten for."""

    UNALIGNED = "unaligned"
    ANY_RECORD = "any-record"
    ENFORCED = "enforced"


class Rules(Table):
    """What the operator chooses."""

    rewrite_on: Annotated[RewriteOn, Field(strict=False)] = RewriteOn.UNALIGNED
    align_envelope: bool = True
    reply_to: Literal["keep", "agent"] = "keep"
    dry_run: bool = False
    exempt: Annotated[tuple[DomainName, ...], List] = ()
    always: Annotated[tuple[DomainName, ...], List] = ()
    freemail: bool = True


class SignedDomain(Table):
    """Mail of this author domain is signed by the signer behind us."""

    domain: DomainName
    selector: Selector
    algorithm: Literal["rsa-sha256", "ed25519-sha256", "rsa-sha1"] = "rsa-sha256"
    identity: Identity = ""
    key_file: str = ""


class Delegate(Table):
    """How a customer delegates a selector to the signer behind us: by an alias, or by a key."""

    selector: Selector
    target: DomainName | None = None
    public_key: KeyRecord = ""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Delegate:
        if (self.target is None) == (not self.public_key):
            raise ValueError("must have either 'target' (a CNAME) or 'public_key' (a TXT record)")
        return self


class OpenDkim(Table):
    """The tables of an OpenDKIM behind us."""

    signing_table: str
    key_table: str


class Dkim(Table):
    """Which DKIM signatures count."""

    trusted_authserv_ids: Annotated[tuple[str, ...], List] = ()
    verify: bool = False
    signs: Annotated[tuple[SignedDomain, ...], List] = ()
    opendkim: OpenDkim | None = None
    delegate: Annotated[Delegate | None, EmptyIsNone] = None


class Log(Table):
    """What the log says."""

    level: Literal["info", "debug"] = "info"


class Metrics(Table):
    """Where Prometheus and health checks find us."""

    # Prometheus has given away all of 9100 to 9999, where exporters are by custom; this is the
    # milter's own port with a 1 in front, and below those that Linux gives to connections.
    listen: Listen = ListenAddress("127.0.0.1", 18899)


class Dns(Table):
    """How DNS is asked."""

    nameservers: Annotated[tuple[NameserverAddress, ...], List] = ()
    timeout: Timeout = 2.0
    min_ttl: Duration = 5.0
    max_ttl: Duration = 3600.0
    stale: Duration = 3 * 86400.0
    archive: str = ""


class Settings(Table):
    """What holds for one message: the configuration, or a tenant's view of it."""

    relay: Relay
    notifications: Notifications
    rules: Rules = Rules()


WHOLE = "(whole)"
"""Where validation puts a tenant's options, completed with the general ones; no key of a file."""


class Tenant(Table):
    """One customer's helpdesk: a whole view, made of its own options over the general ones."""

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

    A tenant is written as the options that differ; validation lays them over the general ones,
    table by table, so that what `settings_for` returns is always whole.
    """

    milter: Milter = Milter()
    helpdesk: Helpdesk = Helpdesk()
    dkim: Dkim = Dkim()
    dns: Dns = Dns()
    log: Log = Log()
    metrics: Metrics = Metrics()
    tenant: Annotated[tuple[Tenant, ...], List] = ()

    @model_validator(mode="before")
    @classmethod
    def _complete_tenants(cls, tables: Any) -> Any:
        tenants = tables.get("tenant") if isinstance(tables, dict) else None
        if not isinstance(tenants, list):
            return tables
        return tables | {"tenant": [_completed(tenant, tables) for tenant in tenants]}

    @property
    def views(self) -> tuple[Settings, ...]:
        """Every view that a message may get: the general one, and that of each tenant."""
        return (self, *(tenant.settings for tenant in self.tenant))

    def settings_for(self, message: Message) -> Settings:
        """The view of the first tenant whose patterns match, else the general one."""
        for tenant in self.tenant:
            if tenant.match.match(message):
                return tenant.settings
        return self

    def as_of(self, settings: Settings) -> Configuration:
        """The configuration with the view of one tenant for every message."""
        view = {name: getattr(settings, name) for name in Settings.model_fields}
        return self.model_copy(update=view | {"tenant": ()})


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
