"""The types of the options: each parses and validates the text of one option."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator

from alignd.config.endpoint import MilterSocket, UnixSocket, parse_socket
from alignd.config.header_patterns import HeaderPattern, HeaderPatterns
from alignd.config.imap_folder import ImapFolder
from alignd.config.opendkim import split_table_name
from alignd.mail.display_name import clean
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress, parse_ip_address
from alignd.mail.mailbox import Mailbox, MailboxError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_PORT = 65535
_MAX_DURATION = 365 * 86400.0  # seconds
_MAX_RETENTION = 10 * _MAX_DURATION
_LEDGER_URL = re.compile(r"sqlite|sqlite:///(/[^?#]+)|postgresql://[^\s]*")
_POSTGRESQL = re.compile(r"postgresql://[^\s]*")
_WEBHOOK = re.compile(
    r"https://[^\s/]+(/\S*)?|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?(/\S*)?"
)
_PAGE_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>\d{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?",
    re.ASCII,
)
_PORTS = {"http": 80, "https": 443}
_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "localhost"})
_USER_HEADER = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", re.ASCII)
_SPOKEN_FOR = frozenset(
    {"authorization", "cookie", "forwarded", "host", "origin", "referer", "via", "x-real-ip"}
)
"""Header fields that say something else than who a user is."""
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")
MAX_TENANT_NAME = 120
"""Characters."""
JOURNAL = "journal"
"""Stands for the journal of systemd in the place of a file."""
EVENT_NAMES = (
    *("began", "stopped", "partly", "policy", "unknown", "known"),
    *("another-tenant", "flapping", "rejected", "silent-relay", "heard-relay"),
)
"""The kinds of events of the ledger, as `notify.kinds` names them."""
_NAMESERVER = re.compile(
    r"\[(?P<v6>[^]]+)\]:(?P<v6_port>\d{1,5})|(?P<v4>[\d.]+):(?P<port>\d{1,5})"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_KEY_RECORD = re.compile(rf"v=DKIM1;(?:[a-z]+=[!-:<-~]*;)*p={_BASE64.pattern};?")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^]]+\]|[^\[\]:]+):(?P<port>\d{1,5})", re.ASCII)
_CONNECT_ID = re.compile(r"[A-Za-z0-9._-]{1,63}")
_KEY_LABEL = re.compile(r"_?[A-Za-z0-9]([A-Za-z0-9-]{0,60}[A-Za-z0-9])?")
_MAX_CONNECT_NAME = 255
_FIELD_NAME = re.compile(r"[!-9;-~]+")
_PLAIN_LOCAL_PART = re.compile(r"[A-Za-z0-9._+-]+")
_DNS_PORT = 53
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_EMBEDDING = 64
"""The shortest prefix of networks that hold nothing but special addresses around IPv4."""
_IPV4_BITS = 0xFFFFFFFF
_LOOPBACK: dict[int, IpAddress] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}
_LINK_LOCAL_GROUPS = IPv6Network("ff02::/16")


@dataclass(frozen=True, slots=True)
class Nameserver:
    """The address of a nameserver."""

    address: str
    """In the spelling of the standard library, without a scope."""
    port: int = _DNS_PORT
    scope: str = ""
    """The name or number of the interface of a link-local address."""

    @classmethod
    def at(cls, address: IpAddress, port: int = _DNS_PORT, scope: str = "") -> Nameserver:
        """The nameserver that the kernel asks there, and that answers.

        What is sent to an unspecified address goes to loopback, and is answered from there. Only a
        link-local address depends on the interface.
        """
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or IPv6Address(int(address))  # without its own scope
        if address.is_unspecified:
            address = _LOOPBACK[address.version]
        return cls(str(address), port, scope if needs_scope(address) else "")

    @property
    def host(self) -> str:
        """The address, with its scope."""
        return f"{self.address}%{self.scope}" if self.scope else self.address

    def __str__(self) -> str:
        """As `dns.nameservers` has it."""
        host = self.host
        if self.port == _DNS_PORT:
            return host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def needs_scope(address: IpAddress) -> bool:
    """Whether *address* says something only together with an interface (RFC 4007, section 6)."""
    return isinstance(address, IPv6Address) and (
        address.is_link_local or address in _LINK_LOCAL_GROUPS
    )


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A TCP address to listen on."""

    host: str
    """An IP address, or a name."""
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it; of a name other than localhost, False."""
        address = self._address
        return self.host == "localhost" if address is None else address.is_loopback

    def overlaps(self, other: ListenAddress) -> bool:
        """Whether one could not listen where the other does."""
        if self.port != other.port:
            return False
        both = (self._address, other._address)
        is_any = any(each is not None and each.is_unspecified for each in both)
        return is_any or self.host == other.host or (self.is_loopback and other.is_loopback)

    @property
    def _address(self) -> IpAddress | None:
        try:
            return parse_ip_address(self.host)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class PageUrl:
    """Where browsers find a page: its origin, and the path that all of its paths begin with."""

    scheme: str
    host: str
    """In lower case, IPv6 in brackets."""
    port: int
    path: str = ""
    """With no "/" at its end."""

    @property
    def netloc(self) -> str:
        """What browsers send as Host (RFC 9110, section 7.2): without the port of the scheme."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """What browsers send as Origin (RFC 6454, section 7)."""
        return f"{self.scheme}://{self.netloc}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text in quotes, not {value!r}")
    return value


def _list(value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list in square brackets, not {value!r}")
    return tuple(value)


def _domain(value: object) -> Domain:
    return Domain.parse(_text(value))


def _ip_address(value: object) -> IpAddress:
    try:
        return parse_ip_address(_text(value))
    except ValueError:
        raise ValueError(f"not an IP address: {value!r}") from None


def _ip_network(value: object) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(_text(value))
    except ValueError as error:
        raise ValueError(f"not a network: {error}; an example: '192.0.2.0/24'") from None
    if instead := _reachable(network):
        raise ValueError(f"no client is ever in this network: {value!r}; write {instead}")
    return network


def _reachable(network: IPv4Network | IPv6Network) -> str:
    """What to write instead of a network that no client can be in; empty for any other."""
    if network.is_multicast:
        return "the address or network that clients connect from"
    if network.is_unspecified:  # one address
        return f"'{network.network_address}/0' if you mean every client"
    if isinstance(network, IPv4Network) or network.network_address.is_loopback:
        return ""
    # An IPv4 client is compared by its IPv4 address (RFC 7208, section 5), and nobody has an
    # IPv4-compatible one (RFC 4291, section 2.5.5.1).
    for embedding in (_MAPPED, _COMPATIBLE):
        if network.subnet_of(embedding):
            start = IPv4Address(int(network.network_address) & _IPV4_BITS)
            return f"'{IPv4Network((start, network.prefixlen - embedding.prefixlen))}'"
    # A shorter prefix around them has no other addresses that anybody uses.
    if network.prefixlen >= _EMBEDDING and network.overlaps(_MAPPED):
        return "'0.0.0.0/0' if you mean every IPv4 client"
    return ""


def _address(value: object) -> Mailbox:
    try:
        mailbox = Mailbox.from_address(_text(value))
    except MailboxError as error:
        raise ValueError(f"not an address: {value!r} ({error})") from None
    if not mailbox.local_part.isascii():
        raise ValueError(
            f"must be ASCII before the '@', so that every receiver takes it: {value!r}"
        )
    if not mailbox.suits_envelope:
        raise ValueError(
            f"no server must refuse it: no quotes, and no '-' at its beginning: {value!r}"
        )
    return mailbox


def _agent_or_address(value: object) -> Mailbox | Literal["agent"]:
    if value == "agent":
        return "agent"
    try:
        return _address(value)
    except ValueError as error:
        raise ValueError(f"{error}; or write 'agent'") from None


def _address_or_none(value: object) -> Mailbox | None:
    return _address(value) if _text(value) else None


def _report_address_or_none(value: object) -> Mailbox | None:
    mailbox = _address_or_none(value)
    if mailbox and not _PLAIN_LOCAL_PART.fullmatch(mailbox.local_part):
        raise ValueError(
            "receivers read other characters than letters, digits, '.', '_', '+' and '-' in rua "
            f"in different ways: {value!r}"
        )
    return mailbox


def _program(value: object) -> str:
    text = _text(value)
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(f"not the path of a program: {value!r}; write '/usr/sbin/sendmail'")
    return text


def _mail_log(value: object) -> str:
    text = _text(value)
    if text != JOURNAL and not (text.startswith("/") and text.isprintable()):
        raise ValueError(f"not a log: {value!r}; write '{JOURNAL}' or '/var/log/mail.log'")
    return text


def _duration(value: object) -> float:
    match = _DURATION.fullmatch(_text(value))
    if not match:
        raise ValueError(f"not a duration: {value!r}; write for example '500ms', '2s' or '3d'")
    return min(float(match[1]) * _SECONDS[match[2]], _MAX_DURATION)


def _retention(value: object) -> float:
    match = _DURATION.fullmatch(_text(value))
    if not match or not float(match[1]):
        raise ValueError(f"not how long to keep something: {value!r}; write for example '14d'")
    return min(float(match[1]) * _SECONDS[match[2]], _MAX_RETENTION)


def _ledger_url(value: object) -> str:
    text = _text(value)
    if text and not _LEDGER_URL.fullmatch(text):
        raise ValueError(
            f"not where a ledger can be: {_without_password(text)!r}; write 'sqlite', "
            "'sqlite:////var/lib/alignd/ledger.sqlite', 'postgresql://alignd@host/alignd', "
            "or '' for none"
        )
    return text


def _window(value: object) -> UnixSocket | str:
    text = _text(value)
    if not text or _POSTGRESQL.fullmatch(text):
        return text
    try:
        return _unix_socket(text)
    except ValueError:
        raise ValueError(
            f"not a window: {_without_password(text)!r}; write "
            "'unix:/run/alignd/window/ledger.sock', 'postgresql://alignd_reader@host/alignd', "
            "or '' for none"
        ) from None


def _without_password(url: str) -> str:
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)


def _webhook(value: object) -> str:
    text = _text(value)
    if text and not _WEBHOOK.fullmatch(text):
        raise ValueError(
            f"not a webhook: {_without_password(text)!r}; write 'https://helpdesk.example.com/hook'"
            " (http:// only on this machine), or '' for none"
        )
    return text


def _page_url(value: object) -> PageUrl | None:
    text = _text(value)
    if not text:
        return None
    match = _PAGE_URL.fullmatch(text)
    try:
        if not match:
            raise ValueError
        port = int(match["port"] or _PORTS[match["scheme"]])
        if not 0 < port <= _MAX_PORT:
            raise ValueError
        host = _host(match["host"])
        shown = f"[{host}]" if ":" in host else host
        return PageUrl(match["scheme"], shown, port, match["path"])
    except ValueError:
        raise ValueError(
            f"not the URL of a page: {_without_password(text)!r}; "
            "write 'https://alignd.example.com', or '' for none"
        ) from None


def _share_url(value: object) -> PageUrl | None:
    url = _page_url(value)
    if url and url.scheme != "https" and url.host.strip("[]") not in _THIS_MACHINE:
        raise ValueError(f"must be https://, since links are secrets: {value!r}")
    return url


def _imap_folder(value: object) -> ImapFolder | None:
    text = _text(value)
    try:
        return ImapFolder.parse(text) if text else None
    except ValueError as error:
        shown = _without_password(text)
        raise ValueError(f"not a folder over IMAP: {shown!r}: {error}; or '' for none") from None


def _user_header(value: object) -> str:
    text = _text(value)
    if not text:
        return text
    # WSGI spells "_" and "-" alike (PEP 3333), so that one could be sent in place of the other.
    if not _USER_HEADER.fullmatch(text):
        raise ValueError(
            f"not the name of a header field: {value!r}; write letters, digits and '-', such as "
            "'X-Remote-User'"
        )
    if text.lower() in _SPOKEN_FOR or text.lower().startswith(("x-forwarded-", "sec-")):
        raise ValueError(f"says something else than who a user is: {value!r}")
    return text


def _proxy(value: object) -> IPv4Network | IPv6Network:
    network = _ip_network(value)
    if not network.prefixlen:
        raise ValueError(f"would trust everybody's word for who he is: {value!r}")
    return network


def _event_name(value: object) -> str:
    text = _text(value)
    if text not in EVENT_NAMES:
        raise ValueError(f"no kind of event: {value!r}; there are {', '.join(EVENT_NAMES)}")
    return text


def _tenant_name(value: object) -> str:
    text = _text(value)
    if text and not (_TENANT.fullmatch(text) and len(text) <= MAX_TENANT_NAME):
        raise ValueError(
            f"not a name for a tenant: {value!r}; write letters, digits, blanks and '._-', "
            f"at most {MAX_TENANT_NAME}"
        )
    return text


def _connect_provider(value: object) -> Domain | None:
    if not _text(value):
        return None
    name = _host_name(value)
    _connect_id(name.name)
    return name


def _connect_id(value: object) -> str:
    text = _text(value)
    if not _CONNECT_ID.fullmatch(text):
        raise ValueError(
            f"not a name for DNS hosts: {value!r}; write letters, digits and '._-', at most 63"
        )
    return text


def _connect_name(value: object) -> str:
    text = _text(value)
    if not text.isprintable() or len(text) > _MAX_CONNECT_NAME:
        raise ValueError(f"not a name to show: {value!r}; at most {_MAX_CONNECT_NAME} characters")
    return text


def _key_label(value: object) -> str:
    text = _text(value)
    if not _KEY_LABEL.fullmatch(text):
        raise ValueError(f"not one label of a name in DNS: {value!r}; write '_dcpubkeyv1'")
    return text


def _timeout(shortest: str, longest: str) -> PlainValidator:
    def validate(value: object) -> float:
        if _DURATION.fullmatch(_text(value)):
            seconds = _duration(value)
            if _duration(shortest) <= seconds <= _duration(longest):
                return seconds
        raise ValueError(
            f"not a timeout: {value!r}; write one between {shortest!r} and {longest!r}"
        )

    return PlainValidator(validate)


def _nameserver(value: object) -> Nameserver:
    text = _text(value)
    match = _NAMESERVER.fullmatch(text)
    host = (match["v6"] or match["v4"]) if match else text
    port = int(match["v6_port"] or match["port"]) if match else _DNS_PORT
    try:
        if not 0 < port <= _MAX_PORT:
            raise ValueError
        address = parse_ip_address(host)
        scope = address.scope_id if isinstance(address, IPv6Address) else None
        return Nameserver.at(address, port, scope or "")
    except ValueError:
        raise ValueError(
            f"not a nameserver: {value!r}; write an IP address, '127.0.0.1:5353' or '[::1]:5353'"
        ) from None


def _listen_address(value: object) -> ListenAddress | None:
    text = _text(value)
    if not text:
        return None
    match = _HOST_AND_PORT.fullmatch(text)
    try:
        if not match or not 0 < int(match["port"]) <= _MAX_PORT:
            raise ValueError
        return ListenAddress(_host(match["host"]), int(match["port"]))
    except ValueError:
        raise ValueError(
            f"not an address to listen on: {value!r}; "
            "write '127.0.0.1:18899', '[::1]:18899', or '' for none"
        ) from None


def _host(text: str) -> str:
    """Parse an IP address, IPv6 in brackets, or a name.

    Raises:
        ValueError: *text* is neither.
    """
    if text.startswith("["):
        return str(IPv6Address(text[1:-1]))
    name = Domain.parse(text)
    return str(IPv4Address(text)) if name.labels[-1].isdigit() else name.name


def _socket(value: object) -> MilterSocket:
    text = _text(value)
    try:
        return parse_socket(text)
    except ValueError:
        raise ValueError(
            f"not a socket: {value!r}; write 'inet:8899@127.0.0.1', 'unix:/path' or 'fd:3'"
        ) from None


def _unix_socket(value: object) -> UnixSocket:
    try:
        socket = parse_socket(_text(value))
        if isinstance(socket, UnixSocket):
            return socket
    except ValueError:
        pass
    raise ValueError(f"must be a unix socket, such as 'unix:/run/map.sock', not {value!r}")


def _header_patterns(value: object) -> HeaderPatterns:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table such as {{ 'X-Mailer' = 'Redmine*' }}, not {value!r}")
    for name in value:
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"not the name of a header field: {name!r}")
    return HeaderPatterns(
        tuple(HeaderPattern.parse(name, _text(pattern)) for name, pattern in value.items())
    )


def _name_template(value: object) -> str:
    text = _text(value)
    rest = text.replace("{name}", "", 1)
    if rest == text or "{" in rest or "}" in rest:
        raise ValueError(f"must contain {{name}} once, and no other braces: {value!r}")
    if "\n" in text or clean(rest) != " ".join(rest.split()):
        raise ValueError(
            f"filters punish an address, a domain, an encoded word or a control character in a "
            f"display name: {value!r}"
        )
    return text


def _identity(value: object) -> str:
    text = _text(value)
    if text:
        Domain.parse(text.rpartition("@")[2])
    if text and "@" not in text:
        raise ValueError(f"not an identity: {value!r}; write '@mycompany.com' or an address")
    return text


def _table_name(value: object) -> str:
    text = _text(value)
    split_table_name(text)
    return text


def _key_record(value: object) -> str:
    text = "".join(_text(value).split())
    if not text or _KEY_RECORD.fullmatch(text):
        return text.replace(";", "; ")
    if not _BASE64.fullmatch(text):
        raise ValueError(
            f"not a public key: {value!r}; write its base64 text, or 'v=DKIM1; k=rsa; p=...'"
        )
    return f"v=DKIM1; k=rsa; p={text}"


def _host_name(value: object) -> Domain:
    name = _domain(value)
    if len(name.labels) == 1 or name.labels[-1].isdigit():
        raise ValueError(f"must be a full host name such as 'smtp.example.com': {value!r}")
    return name


def parse_relay_address(value: object) -> IpAddress:
    """An address that mail can leave from.

    Raises:
        ValueError: it is none.
    """
    address = _ip_address(value)
    is_nobodys = isinstance(address, IPv6Address) and address in _COMPATIBLE
    if address.is_unspecified or address.is_multicast or (is_nobodys and not address.is_loopback):
        raise ValueError(f"mail cannot leave from this address: {value!r}")
    return address


DomainName = Annotated[Domain, PlainValidator(_domain)]
HostName = Annotated[Domain, PlainValidator(_host_name)]
RelayAddress = Annotated[IpAddress, PlainValidator(parse_relay_address)]
IpNetwork = Annotated[IPv4Network | IPv6Network, PlainValidator(_ip_network)]
Address = Annotated[Mailbox, PlainValidator(_address)]
OptionalAddress = Annotated[Mailbox | None, PlainValidator(_address_or_none)]
"""None when it is written as an empty text."""
OptionalReportAddress = Annotated[Mailbox | None, PlainValidator(_report_address_or_none)]
"""An address that can stand in a DMARC record as it is; None when it is an empty text."""
ProgramPath = Annotated[str, PlainValidator(_program)]
MailLog = Annotated[str, PlainValidator(_mail_log)]
"""JOURNAL, or the path of a file."""
AgentOrAddress = Annotated[Mailbox | Literal["agent"], PlainValidator(_agent_or_address)]
Duration = Annotated[float, PlainValidator(_duration)]
"""Seconds; written as "0s", "500ms", "2s", "5m", "1h" or "3d"."""
Retention = Annotated[float, PlainValidator(_retention)]
"""Seconds, written like a duration; up to ten years."""
LedgerUrl = Annotated[str, PlainValidator(_ledger_url)]
"""`sqlite` for a file in the state directory; empty for no ledger."""
LedgerWindow = Annotated[UnixSocket | str, PlainValidator(_window)]
"""A socket, or the URL of a PostgreSQL; empty for none."""
WebhookUrl = Annotated[str, PlainValidator(_webhook)]
"""Empty for none."""
ConnectProvider = Annotated[Domain | None, PlainValidator(_connect_provider)]
"""None when it is written as an empty text."""
ConnectId = Annotated[str, PlainValidator(_connect_id)]
"""The name of a template, draft-ietf-dconn-domainconnect-03, section 3 (dc-id)."""
ConnectName = Annotated[str, PlainValidator(_connect_name)]
KeyLabel = Annotated[str, PlainValidator(_key_label)]
PageAddress = Annotated[PageUrl | None, PlainValidator(_page_url)]
"""None when it is written as an empty text."""
ShareAddress = Annotated[PageUrl | None, PlainValidator(_share_url)]
"""The same; not without TLS, but on this machine."""
OptionalImapFolder = Annotated[ImapFolder | None, PlainValidator(_imap_folder)]
"""The same."""
UserHeader = Annotated[str, PlainValidator(_user_header)]
"""Empty for none."""
Proxy = Annotated[IPv4Network | IPv6Network, PlainValidator(_proxy)]
EventName = Annotated[str, PlainValidator(_event_name)]
TenantName = Annotated[str, PlainValidator(_tenant_name)]
"""Empty where a tenant has none."""
Timeout = Annotated[float, _timeout("100ms", "30s")]
"""Seconds, written like a duration; short enough for an SMTP client to wait."""
IdleTimeout = Annotated[float, _timeout("10m", "1d")]
"""Seconds, written like a duration; longer than an SMTP session is normally silent."""
NameserverAddress = Annotated[Nameserver, PlainValidator(_nameserver)]
Listen = Annotated[ListenAddress | None, PlainValidator(_listen_address)]
"""None when it is written as an empty text, which means nowhere."""
Socket = Annotated[MilterSocket, PlainValidator(_socket)]
UnixPath = Annotated[UnixSocket, PlainValidator(_unix_socket)]
Patterns = Annotated[HeaderPatterns, PlainValidator(_header_patterns)]
Identity = Annotated[str, PlainValidator(_identity)]
"""The i= of a DKIM signature; empty when it has none."""
Selector = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
"""The selector of a DKIM key."""
TableName = Annotated[str, PlainValidator(_table_name)]
"""The name of a table of OpenDKIM, as opendkim.conf has it."""
KeyRecord = Annotated[str, PlainValidator(_key_record)]
"""A DKIM key record, RFC 6376, section 3.6.1; written so, or as the base64 text of an RSA key."""
NameTemplate = Annotated[str, PlainValidator(_name_template)]
List = BeforeValidator(_list)
"""Marks a tuple that is written as a list."""
EmptyIsNone = BeforeValidator(lambda value: None if value == {} else value)
"""Marks a table that counts as missing when it is empty."""
