"""Where alignd stands in a Postfix: its listeners, their milters, and who hands mail to whom."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alignd.config.endpoint import Endpoint, InetEndpoint, UnixEndpoint
from alignd.postfix.config import PostfixConfig, Service
from alignd.postfix.milters import MilterEntry, MilterListError, read_milters

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_FILTER = re.compile(r"(?P<transport>[^:\s]+):\[?(?P<host>[^]\s]*?)\]?:(?P<port>\w+)")


@dataclass(frozen=True, slots=True)
class Listener:
    """A service that takes mail by SMTP, and the milters that see it."""

    service: Service
    milters: tuple[MilterEntry, ...]
    problem: str
    """What is wrong with its list of milters, which is then empty; else nothing."""
    position: int | None
    """Where alignd stands among the milters; None when it does not."""

    @property
    def alignd(self) -> MilterEntry | None:
        """The entry for alignd."""
        return None if self.position is None else self.milters[self.position]


@dataclass(frozen=True, slots=True)
class Hop:
    """A content_filter that hands over by SMTP."""

    source: Service
    transport: str
    host: str
    port: str
    target: Listener | None
    """The listener of this Postfix that takes it; None when it is none of them."""

    @property
    def is_local(self) -> bool:
        """Whether it stays on this machine."""
        return self.host in LOOPBACK


@dataclass(frozen=True, slots=True)
class Chain:
    """The way of mail through one Postfix."""

    postfix: PostfixConfig
    place: Endpoint
    """Where alignd is."""
    listeners: tuple[Listener, ...]
    hops: tuple[Hop, ...]

    @property
    def with_alignd(self) -> tuple[Listener, ...]:
        """The listeners that alignd is a milter of."""
        return tuple(listener for listener in self.listeners if listener.alignd)

    @property
    def to_alignd(self) -> tuple[Hop, ...]:
        """The hops that lead to alignd: the layout is queue-first where there is one."""
        return tuple(hop for hop in self.hops if hop.target and hop.target.alignd)

    @property
    def is_general(self) -> bool:
        """Whether main.cf itself names alignd, for every listener that says nothing else."""
        return _finds(self.postfix, self.postfix.value("smtpd_milters"), self.place)

    @property
    def covers_sendmail(self) -> bool:
        """Whether mail of sendmail(1) meets alignd, as a milter or by way of a hop."""
        milters = self.postfix.value("non_smtpd_milters")
        by_hop = any(hop.source.program == "pickup" for hop in self.to_alignd)
        return by_hop or _finds(self.postfix, milters, self.place)

    def is_second(self, listener: Listener) -> bool:
        """Whether Postfix itself is the client of *listener*."""
        return any(hop.target == listener for hop in self.hops)


def read_chain(postfix: PostfixConfig, place: Endpoint) -> Chain:
    """Find alignd, which is at *place*, in *postfix*."""
    listeners = tuple(_listener(postfix, service, place) for service in postfix.running("smtpd"))
    sources = (*postfix.running("smtpd"), *postfix.running("pickup"))
    hops = (_hop(postfix, service, listeners) for service in sources)
    return Chain(postfix, place, listeners, tuple(hop for hop in hops if hop))


def reached(endpoint: Endpoint, postfix: PostfixConfig, service: Service | None) -> Endpoint:
    """What a milter of *service* named *endpoint* is outside of its chroot."""
    if isinstance(endpoint, InetEndpoint):
        return endpoint
    path = endpoint.path
    if not path.startswith("/") or (service and service.is_chrooted):
        path = f"{postfix.value('queue_directory')}/{path.lstrip('/')}"
    return UnixEndpoint(_plain(path))


def is_same(one: Endpoint, other: Endpoint) -> bool:
    """Whether both name the same socket."""
    if isinstance(one, UnixEndpoint) and isinstance(other, UnixEndpoint):
        return _plain(one.path) == _plain(other.path)
    if isinstance(one, InetEndpoint) and isinstance(other, InetEndpoint):
        both_loopback = one.host in LOOPBACK and other.host in LOOPBACK
        return one.port == other.port and (one.host == other.host or both_loopback)
    return False


def _plain(path: str) -> str:
    # /var/run is a link to /run on every system that has systemd.
    return re.sub(r"^/var/run/", "/run/", re.sub(r"/+", "/", path))


def _listener(postfix: PostfixConfig, service: Service, place: Endpoint) -> Listener:
    try:
        milters = read_milters(postfix.value("smtpd_milters", service))
    except MilterListError as error:
        return Listener(service, (), str(error), None)
    return Listener(service, milters, "", _position(milters, postfix, service, place))


def _position(
    milters: tuple[MilterEntry, ...],
    postfix: PostfixConfig,
    service: Service | None,
    place: Endpoint,
) -> int | None:
    for position, milter in enumerate(milters):
        if milter.endpoint is None:
            continue
        # By what was meant, too: a chroot may lead elsewhere, which is another trouble.
        meant = (milter.endpoint, reached(milter.endpoint, postfix, service))
        if any(is_same(each, place) for each in meant):
            return position
    return None


def _finds(postfix: PostfixConfig, value: str, place: Endpoint) -> bool:
    try:
        return _position(read_milters(value), postfix, None, place) is not None
    except MilterListError:
        return False


def _hop(postfix: PostfixConfig, source: Service, listeners: tuple[Listener, ...]) -> Hop | None:
    match = _FILTER.fullmatch(postfix.value("content_filter", source))
    if match is None:
        return None
    target = next((each for each in listeners if _takes(each.service, match)), None)
    return Hop(source, match["transport"], match["host"], match["port"], target)


def _takes(service: Service, hop: re.Match[str]) -> bool:
    if service.kind != "inet" or service.port != hop["port"]:
        return False
    address = service.name.rpartition(":")[0].strip("[]")
    return not address or address == hop["host"] or {address, hop["host"]} <= LOOPBACK
