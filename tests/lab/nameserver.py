"""A name server on loopback whose zone is swapped while it runs."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from alignd.resolver.zone import Zone

_LARGEST = 65535
_LARGEST_WITHOUT_EDNS = 512
_SOA = "ns. hostmaster. 1 3600 600 86400 0"  # nothing is to be kept of what does not exist


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
    own: Nameserver | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Nameserver]:
    """Run a name server, or your *own*, over UDP and TCP, on *port* or a free one of *host*."""
    nameserver = own or Nameserver()
    nameserver.host = host

    class OverTCP(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while len(size := self.rfile.read(2)) == 2:
                data = self.rfile.read(*struct.unpack("!H", size))
                response = nameserver.respond(data, over_udp=False)
                if response is None:
                    return
                self.wfile.write(struct.pack("!H", len(response)) + response)

    class OverUDP(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            response = nameserver.respond(self.rfile.read(), over_udp=True)
            if response is not None:
                self.wfile.write(response)

    with ExitStack() as servers:
        tcp = servers.enter_context(_TCPServer((host, port), OverTCP))
        nameserver.port = tcp.server_address[1]
        udp = servers.enter_context(_UDPServer((host, nameserver.port), OverUDP))
        for server in (tcp, udp):
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            servers.callback(thread.join)
            servers.callback(server.shutdown)
        yield nameserver


class _TCPServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _UDPServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = _LARGEST
