"""Sends one query to the nameservers: the first good response wins, within a deadline.

A nameserver that is silent or broken costs little: the next one is asked after a short wait, or
at once when the first refuses, and the first good response wins, whoever it comes from.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

from alignd.config.option_types import Nameserver
from alignd.mailauth.dns import LookupFailed
from alignd.resolver.nameserver_states import NameserverStates, Protocol
from alignd.resolver.socket_address import Source, socket_address, source
from alignd.resolver.spare_sockets import SpareSockets

HEDGE_SECONDS = 0.15
"""How long to wait for a response before the next nameserver is asked as well."""
_BACKOFF = 1.6  # how much longer each wait is than the one before
_EDNS_PAYLOAD = 1232  # octets, the size that is safe from fragments (DNS flag day 2020)
MAX_RESPONSE = 16_384
"""Octets of a response over TCP. A hundred verification texts at one name take half of that; to
read 64 kB of small records takes a tenth of a second of processor time (measured)."""
_MAX_DATAGRAM = 65535
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
_FINAL = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


@dataclass(frozen=True, slots=True)
class NotAsked(LookupFailed):
    """No nameserver could be sent the query: says nothing of DNS, and may be over at once."""


@dataclass(frozen=True, slots=True)
class Silence:
    """No nameserver answered, not even with an error: DNS may be down as a whole."""


def ask(
    name: dns.name.Name,
    record_type: dns.rdatatype.RdataType,
    nameservers: tuple[Nameserver, ...],
    seconds: float,
    spare: SpareSockets | None = None,
    states: NameserverStates | None = None,
) -> dns.message.Message | LookupFailed | Silence:
    """Ask *nameservers* in turn, again and again, for at most *seconds*.

    *states* has what was learned of them, and learns.

    Returns:
        A NOERROR or NXDOMAIN response; or why there is none: the first refusal, NotAsked, or
        Silence.
    """
    query = dns.message.make_query(name, record_type, use_edns=0, payload=_EDNS_PAYLOAD)
    deadline = time.monotonic() + seconds
    states = states or NameserverStates()
    servers = tuple(states.in_order(nameservers))
    return _Exchange(query, servers, deadline, spare or SpareSockets(), states).run()


def spare_sockets_for(nameservers: tuple[Nameserver, ...]) -> SpareSockets:
    """Sockets with which *nameservers* can be asked when no descriptor is left."""
    return SpareSockets(map(_family_of, nameservers))


class _Exchange:
    """One query to several nameservers, and their responses."""

    def __init__(
        self,
        query: dns.message.Message,
        nameservers: tuple[Nameserver, ...],
        deadline: float,
        spare: SpareSockets,
        states: NameserverStates,
    ) -> None:
        self._query = query
        self._wire = query.to_wire()
        self._servers = nameservers
        self._deadline = deadline
        self._spare = spare
        self._states = states
        self._asked: dict[Source, Nameserver] = {}
        self._refusals: dict[Nameserver, LookupFailed] = {}
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._open = ExitStack()
        # select() takes no descriptor above 1023, and a worker has one for each connection; epoll
        # needs a descriptor of its own.
        self._selector = selectors.PollSelector()

    def run(self) -> dns.message.Message | LookupFailed | Silence:
        with self._open:
            for server, next_turn in self._turns():
                self._send(server)
                if server not in self._refusals and (found := self._receive_until(next_turn)):
                    return found
        # What a nameserver said tells more than that another could not be asked.
        reasons = sorted(self._refusals.values(), key=lambda each: isinstance(each, NotAsked))
        return reasons[0] if reasons else Silence()

    def _turns(self) -> Iterator[tuple[Nameserver, float]]:
        """The next nameserver to ask, and the monotonic time of the turn after it.

        Ends with the deadline, or when all have refused.
        """
        wait, turn = HEDGE_SECONDS, 0
        while (now := time.monotonic()) < self._deadline:
            # Looked at anew each turn: the consumer adds refusals between two of them.
            willing = [server for server in self._servers if server not in self._refusals]
            if not willing:
                return
            yield willing[turn % len(willing)], min(now + wait, self._deadline)
            turn, wait = turn + 1, wait * _BACKOFF

    def _send(self, server: Nameserver) -> None:
        try:
            udp = self._socket(_family_of(server))
            address = socket_address(server, udp)
            self._asked[source(address)] = server
            udp.sendto(self._wire, address)
        except OSError as error:  # no route, no IPv6, no descriptor left
            self._refusals[server] = NotAsked(_problem(error))
            if error.errno not in _NO_DESCRIPTOR:
                self._states.unreachable(server)

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if family not in self._sockets:
            udp = self._opened(family, socket.SOCK_DGRAM)
            udp.setblocking(False)
            self._sockets[family] = udp
            self._selector.register(udp, selectors.EVENT_READ, udp)
        return self._sockets[family]

    def _opened(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        """A socket that is closed, or given back, with the exchange."""
        try:
            return self._open.enter_context(socket.socket(family, kind))
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
        return self._open.enter_context(self._spare.borrow(family, kind, self._left()))

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _receive_until(self, moment: float) -> dns.message.Message | None:
        """Wait for a good response until *moment*; give up early when a nameserver refuses."""
        refusals = len(self._refusals)
        while (left := moment - time.monotonic()) > 0 and len(self._refusals) == refusals:
            for key, _ in self._selector.select(left):
                if found := self._receive(key.data):
                    return found
        return None

    def _receive(self, udp: socket.socket) -> dns.message.Message | None:
        try:
            wire, address = udp.recvfrom(_MAX_DATAGRAM)
            response = dns.message.from_wire(wire, ignore_trailing=True)
        except (OSError, dns.exception.DNSException):
            return None  # nothing after all, or not DNS: go on listening
        server = self._asked.get(source(address))
        if server is None or not self._query.is_response(response):
            return None
        if response.flags & dns.flags.TC:
            return self._ask_again_over_tcp(server)
        return self._accept(server, response)

    def _ask_again_over_tcp(self, server: Nameserver) -> dns.message.Message | None:
        try:
            response = dns.message.from_wire(self._converse(server))
            if not self._query.is_response(response):
                raise dns.query.BadResponse
        except (OSError, EOFError, dns.exception.DNSException) as error:
            problem = f"truncated, and over TCP: {type(error).__name__}"
            self._refusals[server] = LookupFailed(problem)
            return None
        return self._accept(server, response)

    def _converse(self, server: Nameserver) -> bytes:
        """The response of *server* over TCP (RFC 7766, section 8), unread.

        Not by dns.query.tcp(), which opens two descriptors and says nothing where there is none.
        """
        tcp = self._opened(_family_of(server), socket.SOCK_STREAM)
        tcp.settimeout(self._left())
        tcp.connect(socket_address(server, tcp))
        tcp.sendall(struct.pack("!H", len(self._wire)) + self._wire)
        (size,) = struct.unpack("!H", self._received(tcp, 2))
        if size > MAX_RESPONSE:
            raise dns.exception.TooBig
        return self._received(tcp, size)

    def _received(self, tcp: socket.socket, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            tcp.settimeout(self._left())  # 0, when none is left, makes it raise at once
            more = tcp.recv(size - len(octets))
            if not more:
                raise EOFError
            octets += more
        return octets

    def _accept(
        self, server: Nameserver, response: dns.message.Message
    ) -> dns.message.Message | None:
        if response.rcode() in _FINAL:
            self._states.answered(server, Protocol.EDNS)
            return response
        # SERVFAIL, REFUSED of a lame server, FORMERR and the like: another may do better.
        self._refusals[server] = LookupFailed(dns.rcode.to_text(response.rcode()))
        self._states.refused(server)
        return None


def _family_of(server: Nameserver) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server.address else socket.AF_INET


def _problem(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
