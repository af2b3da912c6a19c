"""A name server on loopback whose zone is swapped while it runs."""

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from alignd.resolver.zone import Zone

_LARGEST = 65535
_TRIES = 20
_LARGEST_WITHOUT_EDNS = 512
_SOA = "ns. hostmaster. 1 3600 600 86400 0"  # nothing is to be kept of what does not exist


@dataclass(frozen=True)
class Client:
    """Who has sent a request, and over what."""

    address: tuple[str, int]
    over_udp: bool
    send: Callable[[bytes], None]
    """Sends octets as they are: over TCP, a response has its size before it."""

    def respond(self, response: bytes) -> None:
        self.send(response if self.over_udp else struct.pack("!H", len(response)) + response)


class Nameserver:
    """Answers with the zone that was served last, and remembers what was asked."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.questions: list[tuple[str, str]] = []
        self._zone = Zone.parse("")

    @property
    def address(self) -> str:
        """Where it listens, in the words of `[dns] nameservers`."""
        return f"{self.host}:{self.port}"

    def serve(self, zone: str) -> None:
        """Answer with this zone from now on, and forget what was asked before."""
        self._zone = Zone.parse(zone)
        self.questions = []

    def answer(self, data: bytes, client: Client) -> bool:
        """Answer one request; False when the connection is to end that it came over."""
        response = self.respond(data, over_udp=client.over_udp)
        if response is None:
            return False
        client.respond(response)
        return True

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        """Return the response to one request, or None to what gets no response."""
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return None
        for question in query.question:
            kind = dns.rdatatype.to_text(question.rdtype)
            self.questions.append((question.name.to_text(), kind))
        response = respond(self._zone, query)
        if response is None:
            return None
        limit = max(query.payload, _LARGEST_WITHOUT_EDNS) if over_udp else _LARGEST
        # Too large for UDP: the client sees the flag TC and asks again over TCP.
        return response.to_wire(max_size=limit, prefer_truncation=True)


class Authority(Nameserver):
    """A server of a zone: it answers with authority, unless it is told otherwise."""

    has_authority = True

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        answered = super().respond(data, over_udp=over_udp)
        if answered is None or not self.has_authority:
            return answered
        response = dns.message.from_wire(answered)
        response.flags |= dns.flags.AA
        return response.to_wire()


def respond(zone: Zone, query: dns.message.Message) -> dns.message.Message | None:
    """The response of a nameserver with this zone; None where it would not answer at all."""
    question = query.question[0]
    found = zone.find(question.name, question.rdtype)
    if found.failure == "timeout":
        return None
    response = dns.message.make_response(query, recursion_available=True)
    if found.failure:
        response.set_rcode(dns.rcode.SERVFAIL)
        return response
    response.set_rcode(dns.rcode.NOERROR if found.exists else dns.rcode.NXDOMAIN)
    response.answer.extend(found.rrsets)
    if not found.rrsets:
        response.authority.append(dns.rrset.from_text(".", 0, "IN", "SOA", _SOA))
    return response


@contextmanager
def run_nameserver(
    own: Nameserver | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    udp: bool = True,
    tcp: bool = True,
) -> Iterator[Nameserver]:
    """Run a name server, or your *own*, on *port* or a free one of *host*.

    It listens over *udp* and *tcp*.
    """
    nameserver = own or Nameserver()
    nameserver.host = host

    class OverTCP(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            client = Client(self.client_address, over_udp=False, send=self.request.sendall)
            with suppress(OSError):  # the client has gone
                while len(size := self.rfile.read(2)) == 2:
                    data = self.rfile.read(*struct.unpack("!H", size))
                    if not nameserver.answer(data, client):
                        return

    class OverUDP(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, server = self.request
            address = self.client_address
            client = Client(address, over_udp=True, send=lambda out: server.sendto(out, address))
            with suppress(OSError):  # the server has ended
                nameserver.answer(data, client)

    with ExitStack() as servers:
        over_tcp, over_udp = _open_both((host, port), OverTCP, OverUDP)
        servers.enter_context(over_tcp)
        servers.enter_context(over_udp)
        nameserver.port = over_tcp.server_address[1]
        for server, is_wanted in ((over_tcp, tcp), (over_udp, udp)):
            if not is_wanted:
                server.server_close()
                continue
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            servers.callback(thread.join)
            servers.callback(server.shutdown)
        yield nameserver


def _open_both(
    place: tuple[str, int],
    over_tcp: type[socketserver.BaseRequestHandler],
    over_udp: type[socketserver.BaseRequestHandler],
) -> tuple["_TCPServer", "_UDPServer"]:
    """Listen over both at one port; of a free one for TCP, UDP may be another's."""
    for tries_left in reversed(range(_TRIES)):
        tcp = _TCPServer(place, over_tcp)
        try:
            return tcp, _UDPServer((place[0], tcp.server_address[1]), over_udp)
        except OSError:
            tcp.server_close()
            if place[1] or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


class _Anywhere(socketserver.TCPServer):
    """Listens at an address of either family, with the interface of a link-local one."""

    def __init__(
        self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]
    ) -> None:
        self.address_family, _, _, _, place = socket.getaddrinfo(*address)[0]
        super().__init__(place, handler)  # type: ignore[arg-type]


class _TCPServer(socketserver.ThreadingMixIn, _Anywhere):
    daemon_threads = True


class _UDPServer(socketserver.ThreadingMixIn, socketserver.UDPServer, _Anywhere):
    daemon_threads = True
    max_packet_size = _LARGEST

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of an exception, unless it is that a late answer is no longer wanted."""
        if self.fileno() >= 0:
            super().handle_error(request, client_address)
