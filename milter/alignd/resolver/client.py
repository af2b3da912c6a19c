"""Sends one query to the nameservers: the first good response wins, within a deadline.

A nameserver that is silent or broken costs little: the next one is asked after a short wait, or
at once when the first refuses, and the first good response wins, whoever it comes from.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
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

HEDGE_SECONDS = 0.15
"""How long to wait for a response before the next nameserver is asked as well."""
_BACKOFF = 1.6  # how much longer each wait is than the one before
_EDNS_PAYLOAD = 1232  # octets, the size that is safe from fragments (DNS flag day 2020)
_MAX_DATAGRAM = 65535
_FINAL = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


@dataclass(frozen=True, slots=True)
class Silence:
    """No nameserver answered, not even with an error: DNS may be down as a whole."""


def ask(
    name: dns.name.Name,
    record_type: dns.rdatatype.RdataType,
    nameservers: tuple[Nameserver, ...],
    seconds: float,
) -> dns.message.Message | LookupFailed | Silence:
    """Ask *nameservers* in turn, again and again, for at most *seconds*.

    Returns:
        A NOERROR or NXDOMAIN response; or why there is none: the first refusal, or Silence.
    """
    query = dns.message.make_query(name, record_type, use_edns=0, payload=_EDNS_PAYLOAD)
    return _Exchange(query, nameservers, time.monotonic() + seconds).run()


class _Exchange:
    """One query to several nameservers, and their responses."""

    def __init__(
        self, query: dns.message.Message, nameservers: tuple[Nameserver, ...], deadline: float
    ) -> None:
        self._query = query
        self._wire = query.to_wire()
        self._servers = nameservers
        self._deadline = deadline
        self._refusals: dict[Nameserver, str] = {}
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        # select() takes no descriptor above 1023, and a worker has one for each connection.
        self._selector = selectors.PollSelector()

    def run(self) -> dns.message.Message | LookupFailed | Silence:
        try:
            for server, next_turn in self._turns():
                self._send(server)
                if server not in self._refusals and (found := self._receive_until(next_turn)):
                    return found
        finally:
            for each in self._sockets.values():
                each.close()
        if self._refusals:
            return LookupFailed(next(iter(self._refusals.values())))
        return Silence()

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
            udp = self._socket(socket.AF_INET6 if ":" in server.address else socket.AF_INET)
            udp.sendto(self._wire, (server.address, server.port))
        except OSError as error:  # no route, no descriptor left, no IPv6
            self._refusals[server] = error.strerror or type(error).__name__

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if family not in self._sockets:
            udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._sockets[family] = udp
            self._selector.register(udp, selectors.EVENT_READ, udp)
        return self._sockets[family]

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
            wire, source = udp.recvfrom(_MAX_DATAGRAM)
            response = dns.message.from_wire(wire, ignore_trailing=True)
        except (OSError, dns.exception.DNSException):
            return None  # nothing after all, or not DNS: go on listening
        server = next((each for each in self._servers if _is_from(each, source)), None)
        if server is None or not self._query.is_response(response):
            return None
        if response.flags & dns.flags.TC:
            return self._ask_again_over_tcp(server)
        return self._accept(server, response)

    def _ask_again_over_tcp(self, server: Nameserver) -> dns.message.Message | None:
        left = max(0.0, self._deadline - time.monotonic())
        try:
            response = dns.query.tcp(self._query, server.address, timeout=left, port=server.port)
        except (OSError, EOFError, dns.exception.DNSException) as error:
            self._refusals[server] = f"truncated, and over TCP: {type(error).__name__}"
            return None
        return self._accept(server, response)

    def _accept(
        self, server: Nameserver, response: dns.message.Message
    ) -> dns.message.Message | None:
        if response.rcode() in _FINAL:
            return response
        # SERVFAIL, REFUSED of a lame server, FORMERR and the like: another may do better.
        self._refusals[server] = dns.rcode.to_text(response.rcode())
        return None


def _is_from(server: Nameserver, source: tuple[str, int]) -> bool:
    return server.address == source[0] and server.port == source[1]
