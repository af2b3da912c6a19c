"""Looks names up at the servers of their zones, past every cache.

A recursive nameserver may have an old answer for as long as its TTL says, and the servers of a
zone may not all have the new one yet. Who wants to be sure of a change asks two that agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from alignd.config.option_types import Nameserver
from alignd.mail.ip_address import parse_ip_address
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.client import Upstream, ask
from alignd.resolver.conversation import Silence
from alignd.resolver.wire import read_response, to_name, to_rdtype, unanswered_alias

ENOUGH = 2
"""How many servers of a zone have to say the same, where it has so many that answer."""
MAX_SERVERS = 6
"""Addresses of a zone's servers that are asked, one after the other."""
_MAX_ALIASES = 8
_MAX_LABELS = 12  # of a name that is searched for a zone
_SERVER_SECONDS = 2.0  # for one server
_OUT_OF_TIME = LookupFailed("timeout")
_NO_SERVER = LookupFailed("no server of the zone answers")
_DISAGREE = LookupFailed("the servers of the zone do not agree")
_TOO_LONG = LookupFailed("too many aliases")

_Response = dns.message.Message | LookupFailed | Silence


class AuthoritativeLookup:
    """Implements `Lookup` for one judgement; not safe for threads."""

    def __init__(
        self,
        upstream: Upstream,
        seconds: float,
        asked: Callable[[], None] = lambda: None,
        port: int = 53,
    ) -> None:
        """*upstream* finds the servers; all questions together take at most *seconds*.

        *asked* is called for each question that is sent.
        """
        self._upstream = upstream
        self._deadline = time.monotonic() + seconds
        self._asked = asked
        self._port = port
        self._zones: dict[dns.name.Name, tuple[Nameserver, ...] | LookupFailed | None] = {}
        """The servers of a zone; None for a name at which no zone begins."""
        self._answers: dict[tuple[str, RecordType], Answer | LookupFailed] = {}
        """A judgement asks some questions several times, and shall get one answer to each."""

    def look_up(
        self,
        name: str,
        record_type: RecordType,
        *,
        is_private: bool = False,  # noqa: ARG002  nothing outlives the judgement
    ) -> Answer | LookupFailed:
        question = name.lower(), record_type
        if question not in self._answers:
            self._answers[question] = self._found(name, record_type)
        return self._answers[question]

    def _found(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        try:
            return self._look_up(to_name(name), to_rdtype(record_type))
        except (dns.exception.DNSException, UnicodeEncodeError) as error:
            return LookupFailed(f"not a name of DNS: {type(error).__name__}")

    def _look_up(
        self, name: dns.name.Name, record_type: dns.rdatatype.RdataType
    ) -> Answer | LookupFailed:
        first: Answer | None = None
        for _ in range(_MAX_ALIASES):
            response = self._response(name, record_type)
            if isinstance(response, LookupFailed):
                return response
            received = read_response(response)
            if isinstance(received, LookupFailed):
                return received
            answer = received.answer
            if first is not None:  # behind an alias: the name that was asked for exists
                answer = Answer(answer.records, alias_of=first.alias_of)
            target = unanswered_alias(response)
            if target is None:
                return answer
            first, name = first or answer, target
        return _TOO_LONG

    def _response(
        self, name: dns.name.Name, record_type: dns.rdatatype.RdataType
    ) -> dns.message.Message | LookupFailed:
        servers = self._servers_of(name)
        if isinstance(servers, LookupFailed):
            return servers
        if not servers:
            # A zone without servers is served by whom we ask anyway, such as a private one.
            return _known(self._ask_upstream(name, record_type))
        return self._agreed(name, record_type, servers)

    def _agreed(
        self,
        name: dns.name.Name,
        record_type: dns.rdatatype.RdataType,
        servers: tuple[Nameserver, ...],
    ) -> dns.message.Message | LookupFailed:
        """The response that the first servers which answer with authority agree on."""
        found: dns.message.Message | None = None
        for server in servers:
            seconds = min(_SERVER_SECONDS, self._seconds_left())
            if seconds <= 0:
                break
            self._asked()
            response = ask(name, record_type, (server,), seconds, wants_recursion=False)
            if isinstance(response, LookupFailed | Silence) or not _has_authority(response):
                continue
            if found is None:
                found = response
            elif _is_same(found, response):
                return found
            else:
                return _DISAGREE
        return found or _NO_SERVER

    def _servers_of(self, name: dns.name.Name) -> tuple[Nameserver, ...] | LookupFailed:
        """The servers of the zone that *name* is in; none where none is found below the root."""
        for candidate in _ancestors(name):
            servers = self._zone_at(candidate)
            if servers is not None:
                return servers
        return ()

    def _zone_at(self, name: dns.name.Name) -> tuple[Nameserver, ...] | LookupFailed | None:
        if name not in self._zones:
            self._zones[name] = self._find_zone(name)
        return self._zones[name]

    def _find_zone(self, name: dns.name.Name) -> tuple[Nameserver, ...] | LookupFailed | None:
        response = _known(self._ask_upstream(name, dns.rdatatype.NS))
        if isinstance(response, LookupFailed):
            return response
        hosts = [
            data.target
            for rrset in response.answer
            if rrset.name == name and rrset.rdtype == dns.rdatatype.NS
            for data in rrset
        ]
        if not hosts:
            return None
        addresses = (each for host in hosts for each in self._addresses_of(host))
        servers = tuple(each for each, _ in zip(addresses, range(MAX_SERVERS), strict=False))
        return servers or _NO_SERVER

    def _addresses_of(self, host: dns.name.Name) -> Iterator[Nameserver]:
        for record_type in (dns.rdatatype.A, dns.rdatatype.AAAA):
            response = self._ask_upstream(host, record_type)
            if isinstance(response, LookupFailed | Silence):
                continue
            received = read_response(response)
            if isinstance(received, LookupFailed):
                continue
            for record in received.answer.records:
                if isinstance(record, str):
                    yield Nameserver.at(parse_ip_address(record), self._port)

    def _ask_upstream(
        self, name: dns.name.Name, record_type: dns.rdatatype.RdataType
    ) -> _Response:
        seconds = self._seconds_left()
        if seconds <= 0:
            return _OUT_OF_TIME
        self._asked()
        return self._upstream.ask(name, record_type, min(_SERVER_SECONDS, seconds))

    def _seconds_left(self) -> float:
        return self._deadline - time.monotonic()


def _known(response: _Response) -> dns.message.Message | LookupFailed:
    return _OUT_OF_TIME if isinstance(response, Silence) else response


def _ancestors(name: dns.name.Name) -> Iterator[dns.name.Name]:
    """*name* and what is above it, below the root; of a very long one the topmost."""
    labels = name.labels
    for start in range(max(0, len(labels) - _MAX_LABELS), len(labels) - 1):
        yield dns.name.Name(labels[start:])


def _has_authority(response: dns.message.Message) -> bool:
    """Whether a server speaks for the zone, and does not point to others or remember them."""
    return bool(response.flags & dns.flags.AA)


def _is_same(one: dns.message.Message, other: dns.message.Message) -> bool:
    return _content(one) == _content(other)


def _content(response: dns.message.Message) -> tuple[int, frozenset[tuple[str, str, str]]]:
    records = (
        (str(rrset.name).lower(), dns.rdatatype.to_text(rrset.rdtype), data.to_text())
        for rrset in response.answer
        for data in rrset
    )
    return response.rcode(), frozenset(records)
