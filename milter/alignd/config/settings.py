"""Every option of the configuration: its type, its default, and what makes a value valid.

The values are frozen, and valid once built. `alignd.config.file` makes them from a file. What an
option means to the operator is told in conf/alignd.conf.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from alignd.config.endpoint import InetSocket, UnixSocket
from alignd.config.header_patterns import HeaderPatterns, PatternIndex
from alignd.config.option_types import (
    JOURNAL,
    MAX_TENANT_NAME,
    Address,
    AgentOrAddress,
    ConnectId,
    ConnectName,
    ConnectProvider,
    DomainName,
    Duration,
    EmptyIsNone,
    EventName,
    HostName,
    Identity,
    IdleTimeout,
    IpNetwork,
    KeyLabel,
    KeyRecord,
    LedgerUrl,
    LedgerWindow,
    List,
    Listen,
    ListenAddress,
    MailLog,
    NameserverAddress,
    NameTemplate,
    OptionalAddress,
    OptionalImapFolder,
    OptionalReportAddress,
    PageAddress,
    Patterns,
    ProgramPath,
    Proxy,
    RelayAddress,
    Retention,
    Selector,
    ShareAddress,
    Socket,
    TableName,
    TenantName,
    Timeout,
    UnixPath,
    UserHeader,
    WebhookUrl,
)
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message

MAX_BODY_OF_ANSWERS = 50_000_000
"""Octets of a body that comes back, if nothing else is configured. An answer that is larger counts
as unsigned, and may be refused for it: people send attachments. Postfix has 10 MB at most, by
default, so that memory is bounded by that."""
WHOLE = "(whole)"
"""The key under which validation puts a tenant's completed options; no key of a file."""

LanguageCode = Literal["en", "da", "cs", "de"]
LANGUAGES: tuple[LanguageCode, ...] = get_args(LanguageCode)
"""The languages of the page."""


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

    nameservers: Annotated[tuple[NameserverAddress, ...], List, Field(max_length=16)] = ()
    timeout: Timeout = 2.0
    min_ttl: Duration = 5.0
    max_ttl: Duration = 3600.0
    stale: Duration = 3 * 86400.0
    archive: str = ""


class ReturnOptions(Table):
    """The return addresses that rewritten mail is from, and what comes back to them."""

    keys: str = ""
    domain: DomainName | None = None
    envelope: Literal["author", "shared"] = "author"
    blocked: Annotated[tuple[Address, ...], List] = ()
    deliver_to: AgentOrAddress = "agent"

    @property
    def mailbox(self) -> Mailbox | None:
        """Where all answers are delivered; None for the agent who is answered."""
        return None if isinstance(self.deliver_to, str) else self.deliver_to


class ReturnService(ReturnOptions):
    """The general options of return addresses: those of every tenant, and the service's."""

    socket: UnixPath = UnixSocket("/run/alignd-return/map.sock")
    milter: Socket = InetSocket(8898, "127.0.0.1")
    metrics: Listen = ListenAddress("127.0.0.1", 18898)


class Keep(Table):
    """How long the ledger keeps its numbers."""

    hours: Retention = 14 * 86400.0
    days: Retention = 730 * 86400.0


class LedgerOptions(Table):
    """The memory of author domains: where it is, how long it lasts, how often it looks at DNS."""

    url: LedgerUrl = "sqlite"
    spool: str = ""
    relay: str = ""
    keep: Keep = Keep()
    watch: Duration = 3600.0
    confirm: Duration = 300.0
    questions: Annotated[int, Field(ge=1, le=1000)] = 10
    window: LedgerWindow = ""

    @property
    def is_shared(self) -> bool:
        """Whether it is in a PostgreSQL."""
        return self.url.startswith("postgresql:")

    def name_of(self, relay: Relay) -> str:
        """The name of this relay in its rows."""
        return self.relay or relay.hostname.name


class NotifyOptions(Table):
    """Who is told of events of the ledger."""

    webhook: WebhookUrl = ""
    secret_file: str = ""
    ca_file: str = ""
    command: Annotated[tuple[str, ...], List] = ()
    kinds: Annotated[tuple[EventName, ...], List] = ()
    tenants: Annotated[tuple[str, ...], List] = ()

    @property
    def is_on(self) -> bool:
        return bool(self.webhook or self.command)


class DomainConnectOptions(Table):
    """The template with which customers' DNS hosts publish the relay's records, and its key."""

    provider: ConnectProvider = None
    provider_name: ConnectName = ""
    service: ConnectId = "helpdesk-mail"
    service_name: Annotated[ConnectName, Field(min_length=1)] = "Helpdesk mail"
    key_file: str = ""
    key_name: KeyLabel = "_dcpubkeyv1"


class WebOptions(Table):
    """The page that shows the ledger: where it listens, and who may look."""

    # As metrics.listen, below the range of outgoing connections: the milter's port with a 1.
    listen: Listen = ListenAddress("127.0.0.1", 18880)
    share_listen: Listen = None
    url: PageAddress = None
    share_url: ShareAddress = None
    trusted_proxies: Annotated[tuple[Proxy, ...], List] = ()
    user_header: UserHeader = ""
    tokens: str = ""
    share_keys: str = ""
    revoked: str = ""
    # Where alignd-doctor.service writes it.
    doctor: str = "/var/lib/alignd-doctor/report.json"
    language: LanguageCode = "en"
    languages: Annotated[tuple[LanguageCode, ...], List, Field(min_length=1)] = LANGUAGES

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Options, by their names, that are good one by one and contradict each other."""
        listen, share = self.listen, self.share_listen
        if listen and not listen.is_loopback and not (self.trusted_proxies or self.tokens):
            cure = "set web.trusted_proxies and web.user_header, or web.tokens"
            yield "listen", f"can be reached from other machines: {cure}"
        if self.trusted_proxies and not self.user_header:
            yield "trusted_proxies", "needs web.user_header: the field that says who looks"
        if self.user_header and not self.trusted_proxies:
            yield "user_header", "needs web.trusted_proxies: who is believed what it says"
        if share:
            if listen and share.overlaps(listen):
                yield "share_listen", "must differ from web.listen: who has a link sees no list"
            for name in ("share_keys", "share_url"):
                if not getattr(self, name):
                    yield "share_listen", f"needs web.{name}"
        if self.url and self.share_url and self.url.origin == self.share_url.origin:
            text = "must have another host or port than web.url, so that browsers keep them apart"
            yield "share_url", text
        if self.language not in self.languages:
            yield "language", f"{self.language!r} is none of web.languages"


class DigestOptions(Table):
    """The mail that tells the operator each week what happened."""

    to: Annotated[tuple[Address, ...], List, Field(max_length=50)] = ()
    sender: Annotated[OptionalAddress, Field(alias="from")] = None
    language: LanguageCode = "en"
    tenant: str = ""
    sendmail: ProgramPath = "/usr/sbin/sendmail"


class ReportsOptions(Table):
    """Where receivers are asked to send aggregate reports, and the mailbox that has them."""

    address: OptionalReportAddress = None
    imap: OptionalImapFolder = None
    password_file: str = ""
    move_to: str = ""


class FeedbackOptions(Table):
    """Where Postfix logs what receivers answer."""

    log: MailLog = JOURNAL

    @property
    def path(self) -> str:
        """Of the file; empty for the journal."""
        return "" if self.log == JOURNAL else self.log


class Settings(Table):
    """The options that can differ from message to message: the general ones, or a tenant's."""

    model_config = ConfigDict(populate_by_name=True)

    relay: Relay
    notifications: Notifications
    rules: Rules = Rules()
    return_path: Annotated[ReturnOptions, Field(alias="return")] = ReturnOptions()

    @property
    def return_domain(self) -> Domain:
        """The domain of return addresses."""
        return self.return_path.domain or self.notifications.domain

    @property
    def own_domains(self) -> frozenset[Domain]:
        """The domains that rewritten mail is from."""
        return frozenset({self.notifications.domain, self.return_domain})


def _return_domains(all_settings: Iterable[Settings]) -> frozenset[str]:
    return frozenset(each.return_domain.name for each in all_settings if each.return_path.keys)


class Tenant(Table):
    """One customer's helpdesk; *settings* are complete: its own options over the general ones."""

    match: Patterns
    name: TenantName = ""
    settings: Annotated[Settings, Field(alias=WHOLE)]

    @property
    def label(self) -> str:
        """How the ledger names it: its name, else what it is known by, without any address."""
        if self.name:
            return self.name
        text = ", ".join(f"{each.name}={each.text}" for each in self.match.patterns)
        is_plain = "@" not in text and text.isprintable() and len(text) <= MAX_TENANT_NAME
        return text if is_plain else f"tenant-{sha256(text.encode()).hexdigest()[:12]}"

    @field_validator("match")
    @classmethod
    def _asks_something(cls, match: HeaderPatterns) -> HeaderPatterns:
        if not match.patterns:
            raise ValueError("must name at least one header field, or every message matches")
        return match


class Tenants(tuple[Tenant, ...]):
    """All tenants, in the order of the file, with an index: there may be thousands."""

    def __init__(self, _tenants: Iterable[Tenant] = ()) -> None:
        self._index = PatternIndex(tenant.match for tenant in self)
        self.return_domains = _return_domains(each.settings for each in self)
        """The names of the domains of return addresses."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(cls, handler(tuple[Tenant, ...]))

    @property
    def field_names(self) -> frozenset[str]:
        """The names of all header fields that tenants are chosen by, in lower case."""
        return self._index.names

    def first_match(self, message: Message) -> Tenant | None:
        """Find the first tenant whose patterns match."""
        position = self._index.first(message)
        return None if position is None else self[position]


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
    return_path: Annotated[ReturnService, Field(alias="return")] = ReturnService()
    ledger: LedgerOptions = LedgerOptions()
    notify: NotifyOptions = NotifyOptions()
    domain_connect: DomainConnectOptions = DomainConnectOptions()
    web: WebOptions = WebOptions()
    digest: DigestOptions = DigestOptions()
    reports: ReportsOptions = ReportsOptions()
    feedback: FeedbackOptions = FeedbackOptions()
    tenant: Annotated[Tenants, List] = Tenants()

    @model_validator(mode="before")
    @classmethod
    def _complete_tenants(cls, tables: Any) -> Any:
        tenants = tables.get("tenant") if isinstance(tables, dict) else None
        if not isinstance(tenants, list):
            return tables
        general = _General(tables)
        return tables | {"tenant": [general.completed(tenant) for tenant in tenants]}

    @property
    def return_domains(self) -> frozenset[str]:
        """The names of the domains of return addresses, those of tenants too."""
        return _return_domains([self]) | self.tenant.return_domains

    @property
    def digest_sender(self) -> Mailbox:
        """Whom the digest is from: alignd, at a domain whose mail is never rewritten."""
        return self.digest.sender or Mailbox("alignd", self.notifications.domain)

    @property
    def all_settings(self) -> tuple[Settings, ...]:
        """All settings that a message may get: the general ones, then tenants', each once."""
        tenants = {id(tenant.settings): tenant.settings for tenant in self.tenant}
        return (self, *tenants.values())

    def settings_for(self, message: Message) -> Settings:
        """Choose the settings of the first tenant whose patterns match, else the general ones."""
        settings, _ = self.choice_for(message)
        return settings

    def choice_for(self, message: Message) -> tuple[Settings, str]:
        """The same settings, and the label of the tenant; empty for the general ones."""
        tenant = self.tenant.first_match(message)
        return (tenant.settings, tenant.label) if tenant else (self, "")

    def labelled_settings(self) -> dict[str, Settings]:
        """The settings of each tenant by its label, of two with one label the first; "" is all."""
        labelled: dict[str, Settings] = {"": self}
        for tenant in self.tenant:
            labelled.setdefault(tenant.label, tenant.settings)
        return labelled

    def conflicts(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """Options, by their keys, that are good one by one and contradict each other.

        Tenants may not say two things about one return domain: who answers shows of the tenant no
        more than the domain.
        """
        first: dict[Domain, ReturnOptions] = {}
        found = []
        places = ((-1, self), *((place, each.settings) for place, each in enumerate(self.tenant)))
        for place, settings in places:
            options = settings.return_path
            if not options.keys:
                continue
            other = first.setdefault(settings.return_domain, options)
            for name in ("keys", "deliver_to"):
                if getattr(options, name) != getattr(other, name):
                    problem = f"differs from that of another tenant for {settings.return_domain}"
                    text = f"return.{name} {problem}: set a return.domain here"
                    found.append((("tenant", place, "return", name), text))
        web = ((("web", name), f"web.{name} {text}") for name, text in self.web.conflicts())
        return (
            *self._conflicts_of_window(),
            *self._conflicts_of_notify(),
            *self._conflicts_of_domain_connect(),
            *web,
            *self._conflicts_of_digest(),
            *self._conflicts_of_reports(),
            *found,
        )

    def _conflicts_of_window(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        ledger = self.ledger
        if not ledger.window:
            return
        name = ("ledger", "window")
        if not ledger.url:
            yield name, 'ledger.window shows nothing: ledger.url = "" switches the ledger off'
        elif isinstance(ledger.window, UnixSocket) and ledger.is_shared:
            yield name, "ledger.window must be a URL of the PostgreSQL that ledger.url names"
        elif isinstance(ledger.window, str) and not ledger.is_shared:
            yield name, "ledger.window must be a socket, since ledger.url is a file"

    def _conflicts_of_notify(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        notify = self.notify
        if notify.webhook and not notify.secret_file:
            text = "needs notify.secret_file: the secret that signs what it gets"
            yield ("notify", "webhook"), f"notify.webhook {text}"
        if notify.is_on and not self.ledger.url:
            name = "webhook" if notify.webhook else "command"
            text = 'gets no events: ledger.url = "" switches the ledger off'
            yield ("notify", name), f"notify.{name} {text}"
        for label in notify.tenants:
            if not self._has_tenant(label):
                yield ("notify", "tenants"), f"notify.tenants {_no_tenant(label)}"

    def _conflicts_of_digest(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        digest = self.digest
        if digest.to and not self.ledger.url:
            text = 'has nothing to tell: ledger.url = "" switches the ledger off'
            yield ("digest", "to"), f"digest.to {text}"
        if digest.tenant and not self._has_tenant(digest.tenant):
            yield ("digest", "tenant"), f"digest.tenant {_no_tenant(digest.tenant)}"

    def _conflicts_of_reports(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if self.reports.imap and not self.reports.password_file:
            text = "needs reports.password_file: the file with the password of the mailbox"
            yield ("reports", "imap"), f"reports.imap {text}"

    def _has_tenant(self, label: str) -> bool:
        return any(each.label == label for each in self.tenant)

    def _conflicts_of_domain_connect(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if self.domain_connect.provider is None:
            return
        place = ("domain_connect", "provider")
        if not self.domain_connect.key_file:
            text = "needs domain_connect.key_file: the private key that signs links"
            yield place, f"domain_connect.provider {text}"
        if self.relay.spf_include is None and self.dkim.delegate is None:
            text = "needs relay.spf_include or dkim.delegate: else the template has no record"
            yield place, f"domain_connect.provider {text}"

    def of_return_leg(self) -> Configuration:
        """The configuration of the service for what comes back: its own sockets and archive."""
        own = self.return_path
        milter: dict[str, object] = {"socket": own.milter}
        if "max_body_bytes" not in self.milter.model_fields_set:
            milter["max_body_bytes"] = MAX_BODY_OF_ANSWERS
        return self.model_copy(
            update={
                "milter": self.milter.model_copy(update=milter),
                "metrics": self.metrics.model_copy(update={"listen": own.metrics}),
                "dns": self.dns.model_copy(update={"archive": ""}),
            }
        )

    def narrowed_to(self, settings: Settings) -> Configuration:
        """Copy the configuration, with *settings*, perhaps a tenant's, for every message."""
        options = {name: getattr(settings, name) for name in TENANT_TABLES.values()}
        own = {name: getattr(settings.return_path, name) for name in ReturnOptions.model_fields}
        options["return_path"] = self.return_path.model_copy(update=own)
        return self.model_copy(update=options | {"tenant": Tenants()})


def _no_tenant(label: str) -> str:
    return f"names no tenant: {label!r}; write the name of a [[tenant]]"


TENANT_TABLES = {field.alias or name: name for name, field in Settings.model_fields.items()}
"""The tables that a tenant may have, and where they are found."""
_OF_SERVICE = frozenset(ReturnService.model_fields) - frozenset(ReturnOptions.model_fields)


class _General:
    """The general options, over which those of tenants are laid.

    What is the same for many tenants is validated once, and is one object.
    """

    def __init__(self, tables: dict[str, Any]) -> None:
        self._written = {name: tables[name] for name in TENANT_TABLES if name in tables}
        if isinstance(general := self._written.get("return"), dict):
            shared = {name: each for name, each in general.items() if name not in _OF_SERVICE}
            self._written["return"] = shared
        self._inherited = {
            "relay": _inherited(Relay, self._written.get("relay")),
            "notifications": _inherited(Notifications, self._written.get("notifications")),
            "rules": _inherited(Rules, self._written.get("rules", {})),
            "return": _inherited(ReturnOptions, self._written.get("return", {})),
        }
        self._completed: dict[str, Any] = {}

    def completed(self, tenant: Any) -> Any:
        """*tenant* with complete settings in place of its own options."""
        if not isinstance(tenant, dict):
            return tenant
        own = {name: tenant[name] for name in TENANT_TABLES if name in tenant}
        rest = {name: value for name, value in tenant.items() if name not in own}
        key = repr(own)  # the tables are not hashable
        if key not in self._completed:
            whole = self._under(own)
            # As it is if something is wrong: so each problem is told at its place.
            self._completed[key] = _valid(Settings, whole) or whole
        return rest | {WHOLE: self._completed[key]}

    def _under(self, own: dict[str, Any]) -> dict[str, Any]:
        whole = dict[str, Any](self._inherited)
        for name, table in own.items():
            general = self._written.get(name, {})
            both = isinstance(table, dict) and isinstance(general, dict)
            whole[name] = general | table if both else table
        return whole


def _inherited(kind: type[Table], written: Any) -> Table:
    """The general table as a tenant has it that says nothing of it.

    One that is wrong or missing is told of once: tenants have an empty one of which nothing comes.
    """
    return _valid(kind, written) or kind.model_construct()


def _valid(kind: type[Table], written: Any) -> Table | None:
    try:
        return kind.model_validate(written)
    except ValidationError:
        return None
