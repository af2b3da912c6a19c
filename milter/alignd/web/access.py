"""Decides who may look at the page, from the facts of a request alone.

The order is: what no page of ours is asked for is refused whoever asks; then who it is; then
whether another site has made his browser ask.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from alignd.config.option_types import ListenAddress, PageUrl
from alignd.config.settings import WebOptions
from alignd.mail.ip_address import IpAddress, parse_ip_address
from alignd.web.tokens import Tokens

MAX_PATH = 2048
"""Characters: a link with the longest domain and tenant has fewer."""
MAX_USER = 200
"""Characters."""
_READS = frozenset({"GET", "HEAD"})
_METHODS = _READS | {"POST"}
_TOKEN_LENGTH = 26
_CSRF_LABEL = b"alignd: form of the page"
_CSRF_SECONDS = 12 * 3600
"""A form is good for so long, and at most twice as long."""
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(?::(?P<port>\d{1,5}))?")
# What only a proxy sends: one that nobody has named must not make all the world local.
_OF_A_PROXY = frozenset({"forwarded", "via", "x-real-ip"})
_OF_PROXIES = "x-forwarded-"
_CREDENTIALS = re.compile(r"(?P<scheme>bearer|basic) +(?P<text>[!-~]+)", re.IGNORECASE | re.ASCII)


class Refusal(Enum):
    """Why a request is refused."""

    METHOD = "method"
    PATH = "path"
    HOST = "host"
    """Not ours, or not one: such as a name of an attacker that leads here (DNS rebinding)."""
    USER_HEADER = "user-header"
    """A trusted proxy names no user, or more than one, or not in a way that can be believed."""
    UNKNOWN_PROXY = "unknown-proxy"
    """It came by a proxy that is not named in web.trusted_proxies."""
    TOKEN = "token"  # noqa: S105  the word for it
    """No token, or a wrong one."""
    NOT_LOCAL = "not-local"
    """From another machine, where only this one may look."""
    CROSS_SITE = "cross-site"
    """Another site had the browser send it."""


_STATUSES = {
    Refusal.METHOD: 405,
    Refusal.PATH: 400,
    Refusal.HOST: 421,
    Refusal.USER_HEADER: 403,
    Refusal.UNKNOWN_PROXY: 403,
    Refusal.TOKEN: 401,
    Refusal.NOT_LOCAL: 403,
    Refusal.CROSS_SITE: 403,
}


class Means(Enum):
    """How it is known who asks."""

    PROXY = "proxy"
    BEARER = "bearer"
    BASIC = "basic"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is refused."""

    reason: Refusal

    @property
    def status(self) -> int:
        """The status of the answer."""
        return _STATUSES[self.reason]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The request is allowed."""

    user: str
    """Who asks; empty for whoever is on this machine."""
    means: Means

    @property
    def needs_form_token(self) -> bool:
        """Whether a POST has to prove that a page of ours made it.

        A browser adds what the others are known by to whatever any site has it send.
        """
        return self.means is not Means.BEARER


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of a request before its body is read."""

    peer: str
    """The address of who has connected; empty where it has none."""
    method: str
    path: str
    """Without the query, decoded as UTF-8."""
    headers: Sequence[tuple[str, str]]
    """As they were sent; octets that are not ASCII are Latin-1 (PEP 3333)."""

    def all(self, name: str) -> list[str]:
        """The values of all fields of this *name*, which is in lower case."""
        return [value.strip(" \t") for each, value in self.headers if each.lower() == name]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a listener is found: what browsers that were not deceived send as Host and Origin."""

    hosts: frozenset[str]
    """Each with its port."""
    origins: frozenset[str]

    @classmethod
    def of(cls, listen: ListenAddress | None, url: PageUrl | None) -> Site:
        """The site at *listen* on this machine, and at *url* for others.

        The names of loopback are no danger: no other site can have them lead elsewhere.
        """
        hosts, origins = set[str](), set[str]()
        if listen:
            own = f"[{listen.host}]" if ":" in listen.host else listen.host
            for name in (*_LOOPBACK, own):
                hosts.add(f"{name}:{listen.port}")
                origins.add(PageUrl("http", name, listen.port).origin)
        if url:
            hosts.add(f"{url.host}:{url.port}")
            origins.add(url.origin)
        return cls(frozenset(hosts), frozenset(origins))

    def has(self, host: str) -> bool:
        """Whether the text of a field Host names this site, with its port or the usual ones."""
        match = _HOST.fullmatch(host.lower())
        if not match:
            return False
        ports = [match["port"]] if match["port"] else ["80", "443"]
        return any(f"{match['name']}:{port}" in self.hosts for port in ports)


@dataclass(frozen=True, slots=True)
class Entrance:
    """By what it is known who asks."""

    options: WebOptions
    tokens: Tokens | None = None
    """What the file web.tokens holds, if there is one."""


def decide(request: Request, site: Site, entrance: Entrance) -> Allowed | Refused:
    """Who asks for a page with the list, or why he gets none."""
    refused = refuse_malformed(request, site)
    if refused:
        return refused
    who = _identify(request, entrance)
    if isinstance(who, Refused) or who.means is Means.BEARER:
        return who
    return refuse_cross_site(request, site) or who


def decide_share(request: Request, site: Site) -> Refused | None:
    """Why a request to the listener of links is refused before its link is read; None if not.

    Who has a link may look: there is nobody to identify.
    """
    return refuse_malformed(request, site) or refuse_cross_site(request, site)


def refuse_malformed(request: Request, site: Site) -> Refused | None:
    """Why it is a request for no page of this site, whoever asks; None if it may be one."""
    if request.method not in _METHODS:
        return Refused(Refusal.METHOD)
    path = request.path
    is_plain = path.startswith("/") and path.isprintable() and "\\" not in path
    if not is_plain or path.startswith("//") or len(path) > MAX_PATH:
        return Refused(Refusal.PATH)
    hosts = request.all("host")
    if len(hosts) != 1 or not site.has(hosts[0]):
        return Refused(Refusal.HOST)
    return None


def refuse_cross_site(request: Request, site: Site) -> Refused | None:
    """Why a POST was not made by a page of this site, or a page is made part of another site's.

    With `Referrer-Policy: no-referrer` browsers send "null" as Origin from our own pages too
    (Fetch, "append a request Origin header"); then Sec-Fetch-Site has to say that they are.
    """
    if request.method in _READS:
        return Refused(Refusal.CROSS_SITE) if _is_embedded(request) else None
    sites, origins = request.all("sec-fetch-site"), request.all("origin")
    if sites not in ([], ["same-origin"]) or len(origins) > 1:
        return Refused(Refusal.CROSS_SITE)
    origin = origins[0].lower() if origins else "null"
    if origin in site.origins or (sites and origin == "null"):
        return None
    return Refused(Refusal.CROSS_SITE)


def _is_embedded(request: Request) -> bool:
    """Whether the page of another site has a browser load this, and does not lead there.

    That has DNS and the ledger asked, and the time that it takes tells what they know. Links of
    other sites, such as those of tickets, are good (W3C, Fetch Metadata Request Headers).
    """
    sites = request.all("sec-fetch-site")
    if sites in ([], ["same-origin"], ["none"]):
        return False
    modes, destinations = request.all("sec-fetch-mode"), request.all("sec-fetch-dest")
    return modes not in ([], ["navigate"]) or destinations not in ([], ["document"])


def form_token(secret: bytes, user: str, now: float) -> str:
    """What a form of the page carries, so that its POST is known to be that of *user*."""
    return _form_token(secret, user, int(now // _CSRF_SECONDS))


def form_token_holds(secret: bytes, user: str, token: str, now: float) -> bool:
    """Whether a page of ours has given *token* to *user*, not too long ago."""
    given = token.encode("utf-8", "surrogatepass")
    period = int(now // _CSRF_SECONDS)
    holds = [
        hmac.compare_digest(given, _form_token(secret, user, each).encode())
        for each in (period, period - 1)
    ]
    return any(holds)


def _form_token(secret: bytes, user: str, period: int) -> str:
    text = b"\0".join((_CSRF_LABEL, str(period).encode(), user.encode("utf-8", "surrogatepass")))
    digest = hmac.digest(secret, text, hashlib.sha256)
    return base64.b32encode(digest).decode()[:_TOKEN_LENGTH].lower()


def _identify(request: Request, entrance: Entrance) -> Allowed | Refused:
    options = entrance.options
    peer = _address(request.peer)
    if options.trusted_proxies and peer and any(peer in each for each in options.trusted_proxies):
        user = _named_user(request, options.user_header.lower())
        # A proxy that has asked nobody may pass on what a program has a token for.
        if user is not None or not options.tokens:
            return Allowed(user, Means.PROXY) if user else Refused(Refusal.USER_HEADER)
    if options.tokens:
        return _by_token(request, entrance.tokens)
    if options.trusted_proxies or peer is None or not peer.is_loopback:
        return Refused(Refusal.NOT_LOCAL)
    if any(_is_of_a_proxy(name.lower()) for name, _ in request.headers):
        return Refused(Refusal.UNKNOWN_PROXY)
    return Allowed("", Means.LOOPBACK)


def _address(peer: str) -> IpAddress | None:
    try:
        return parse_ip_address(peer)
    except ValueError:
        return None


def _is_of_a_proxy(name: str) -> bool:
    return name in _OF_A_PROXY or name.startswith(_OF_PROXIES)


def _named_user(request: Request, name: str) -> str | None:
    """The user whom a trusted proxy names; empty if it is unclear whom, None if it names nobody.

    A field that a browser has sent beside the proxy's is a second one, or joined to it by a comma
    (RFC 9110, section 5.3), or spelled with "_", which WSGI takes for "-".
    """
    alike = [each for each, _ in request.headers if each.lower().replace("_", "-") == name]
    if not alike:
        return None
    values = request.all(name)
    if len(alike) != 1 or len(values) != 1:
        return ""
    try:
        user = values[0].encode("latin-1").decode("utf-8")
    except UnicodeError:
        return ""
    is_good = user.isprintable() and "," not in user and len(user) <= MAX_USER
    return user if is_good else ""


def _by_token(request: Request, tokens: Tokens | None) -> Allowed | Refused:
    fields = request.all("authorization")
    match = _CREDENTIALS.fullmatch(fields[0]) if len(fields) == 1 else None
    if match is None or tokens is None:
        return Refused(Refusal.TOKEN)
    if match["scheme"].lower() == "bearer":
        name = tokens.name_of(match["text"])
        return Refused(Refusal.TOKEN) if name is None else Allowed(name, Means.BEARER)
    # RFC 7617: what a browser sends once it has asked; the token is the password.
    login, _, password = _decoded(match["text"]).partition(":")
    name = tokens.name_of(password)
    if name is None or name != login:
        return Refused(Refusal.TOKEN)
    return Allowed(name, Means.BASIC)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
