"""The path of mail through one Postfix: its smtpd services, their milters, its content filters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alignd.config.endpoint import Endpoint, InetEndpoint, UnixEndpoint
from alignd.postfix.config import PostfixConfig, Service
from alignd.postfix.layouts import Layout
from alignd.postfix.milters import MilterEntry, MilterListError, read_milters

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_FILTER = re.compile(r"(?P<transport>[^:\s]+):\[?(?P<host>[^]\s]*?)\]?:(?P<port>\w+)")


@dataclass(frozen=True, slots=True)
class SmtpdService:
    """An smtpd service of master.cf, and the milters that see its mail."""

    service: Service
    milters: tuple[MilterEntry, ...]
    problem: str
    """Why its smtpd_milters cannot be parsed, so that *milters* is empty; else empty."""
    position: int | None
    """The index of alignd in *milters*; None if alignd is not among them."""

    @property
    def alignd(self) -> MilterEntry | None:
        """The entry for alignd."""
        return None if self.position is None else self.milters[self.position]


@dataclass(frozen=True, slots=True)
class Hop:
    """A content_filter that hands mail over by SMTP."""

    source: Service
    transport: str
    host: str
    port: str
    target: SmtpdService | None
    """The smtpd service of this Postfix that receives the mail; None if it goes elsewhere."""

    @property
    def is_local(self) -> bool:
        """Whether the mail stays on this machine."""
        return self.host in LOOPBACK


@dataclass(frozen=True, slots=True)
class Chain:
    """The path of mail through one Postfix, with alignd at *endpoint*."""

    postfix: PostfixConfig
    endpoint: Endpoint
    smtpd: tuple[SmtpdService, ...]
    hops: tuple[Hop, ...]

    @property
    def with_alignd(self) -> tuple[SmtpdService, ...]:
        """The smtpd services that have alignd among their milters."""
        return tuple(smtpd for smtpd in self.smtpd if smtpd.alignd)

    @property
    def to_alignd(self) -> tuple[Hop, ...]:
        """The hops that lead to alignd."""
        return tuple(hop for hop in self.hops if hop.target and hop.target.alignd)

    @property
    def layout(self) -> Layout:
        """The layout in use: queue-first if a hop leads to alignd."""
        return Layout.QUEUE_FIRST if self.to_alignd else Layout.INLINE

    @property
    def is_in_main_cf(self) -> bool:
        """Whether main.cf names alignd, for every service without smtpd_milters of its own."""
        return _names_alignd(self.postfix, "smtpd_milters", self.endpoint)

    @property
    def covers_sendmail(self) -> bool:
        """Whether alignd sees mail of sendmail(1), as a milter or after a hop."""
        by_hop = any(hop.source.program == "pickup" for hop in self.to_alignd)
        return by_hop or self.is_milter_of_sendmail

    @property
    def is_milter_of_sendmail(self) -> bool:
        """Whether alignd is a milter for mail of sendmail(1)."""
        return _names_alignd(self.postfix, "non_smtpd_milters", self.endpoint)

    def is_second_listener(self, smtpd: SmtpdService) -> bool:
        """Whether *smtpd* receives its mail from this Postfix itself."""
        return any(hop.target == smtpd for hop in self.hops)


def read_chain(postfix: PostfixConfig, endpoint: Endpoint) -> Chain:
    """Find alignd, which is at *endpoint*, in *postfix*."""
    smtpd = tuple(_smtpd(postfix, service, endpoint) for service in postfix.running("smtpd"))
    sources = (*postfix.running("smtpd"), *postfix.running("pickup"))
    hops = (_hop(postfix, service, smtpd) for service in sources)
    return Chain(postfix, endpoint, smtpd, tuple(hop for hop in hops if hop))


def outside_chroot(
    endpoint: Endpoint, postfix: PostfixConfig, service: Service | None
) -> Endpoint:
    """The endpoint that *service*, in its chroot or not, reaches as *endpoint*."""
    if isinstance(endpoint, InetEndpoint):
        return endpoint
    path = endpoint.path
    if not path.startswith("/") or (service and service.is_chrooted):
        path = f"{postfix.value('queue_directory')}/{path.lstrip('/')}"
    return UnixEndpoint(_normalized(path))


def is_same(one: Endpoint, other: Endpoint) -> bool:
    """Whether both name the same socket."""
    if isinstance(one, UnixEndpoint) and isinstance(other, UnixEndpoint):
        return _normalized(one.path) == _normalized(other.path)
    if isinstance(one, InetEndpoint) and isinstance(other, InetEndpoint):
        both_loopback = one.host in LOOPBACK and other.host in LOOPBACK
        return one.port == other.port and (one.host == other.host or both_loopback)
    return False


def _normalized(path: str) -> str:
    # /var/run is a link to /run on every system that has systemd.
    return re.sub(r"^/var/run/", "/run/", re.sub(r"/+", "/", path))


def _smtpd(postfix: PostfixConfig, service: Service, endpoint: Endpoint) -> SmtpdService:
    try:
        milters = read_milters(postfix.value("smtpd_milters", service))
    except MilterListError as error:
        return SmtpdService(service, (), str(error), None)
    return SmtpdService(service, milters, "", _position(milters, postfix, service, endpoint))


def _position(
    milters: tuple[MilterEntry, ...],
    postfix: PostfixConfig,
    service: Service | None,
    alignd: Endpoint,
) -> int | None:
    for position, milter in enumerate(milters):
        if milter.endpoint is None:
            continue
        # As it is written, too: an entry whose path a chroot leads elsewhere still means alignd,
        # and that it does not get there is a finding of its own.
        candidates = (milter.endpoint, outside_chroot(milter.endpoint, postfix, service))
        if any(is_same(each, alignd) for each in candidates):
            return position
    return None


def _names_alignd(postfix: PostfixConfig, parameter: str, alignd: Endpoint) -> bool:
    try:
        milters = read_milters(postfix.value(parameter))
    except MilterListError:
        return False
    return _position(milters, postfix, None, alignd) is not None


def _hop(postfix: PostfixConfig, source: Service, smtpd: tuple[SmtpdService, ...]) -> Hop | None:
    match = _FILTER.fullmatch(postfix.value("content_filter", source))
    if match is None:
        return None
    target = next((each for each in smtpd if _receives(each.service, match)), None)
    return Hop(source, match["transport"], match["host"], match["port"], target)


def _receives(service: Service, hop: re.Match[str]) -> bool:
    if service.kind != "inet" or service.port != hop["port"]:
        return False
    address = service.name.rpartition(":")[0].strip("[]")
    return not address or address == hop["host"] or {address, hop["host"]} <= LOOPBACK
