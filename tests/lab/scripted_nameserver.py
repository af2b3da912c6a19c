"""A name server that answers what a function says, however wrong."""

from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.lab.nameserver import Nameserver

Script = Callable[[dns.message.Message], bytes]


class Scripted(Nameserver):
    """Answers as its script says, over UDP; over TCP it hangs up."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        return self._script(dns.message.from_wire(data)) if over_udp else None


def refused(query: dns.message.Message) -> bytes:
    """Refuse to answer."""
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.REFUSED)
    return response.to_wire()


def truncated(query: dns.message.Message) -> bytes:
    """Say that the answer is too large for UDP."""
    response = dns.message.make_response(query)
    response.flags |= dns.flags.TC
    return response.to_wire()


def absent(rcode: dns.rcode.Rcode, ttl: int) -> Script:
    """Answer with that code and without a record, which may be kept for *ttl* seconds."""

    def script(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        soa = f"ns. hostmaster. 1 3600 600 86400 {ttl}"
        response.authority.append(dns.rrset.from_text("example.", ttl, "IN", "SOA", soa))
        return response.to_wire()

    return script
