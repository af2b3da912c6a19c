"""Ways in which a nameserver that is alive can be odd, for `OddNameserver`."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.lab.nameserver import Client, Nameserver, respond

Message = dns.message.Message
_ANSWER_COUNT, _AUTHORITY_COUNT = 6, 8  # octets before them in the header
SECTIONS = ("answer", "authority", "additional")


@dataclass(frozen=True)
class Asked:
    """A query, and what the nameserver would answer if it were well."""

    query: Message
    response: Message
    client: Client

    @property
    def over_udp(self) -> bool:
        return self.client.over_udp

    @property
    def has_edns(self) -> bool:
        return self.query.edns >= 0

    @property
    def name(self) -> dns.name.Name:
        return self.query.question[0].name

    def send(self, response: Message | None = None) -> None:
        """Send *response*, or the right one, cut to what the client takes."""
        limit = max(self.query.payload, 512) if self.over_udp else 65535
        wire = (response or self.response).to_wire(max_size=limit, prefer_truncation=True)
        self.client.respond(wire)

    def send_error(self, rcode: dns.rcode.Rcode) -> None:
        error = dns.message.make_response(self.query)
        error.set_rcode(rcode)
        self.send(error)

    def hang(self) -> None:
        """Keep the connection open, and silent, for longer than anybody waits."""
        threading.Event().wait(3)


Oddity = Callable[[Asked], None]


class OddNameserver(Nameserver):
    """Answers with its zone, and as odd as it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.oddity: Oddity | None = None
        self.asked: list[Asked] = []

    def answer(self, data: bytes, client: Client) -> bool:
        if self.oddity is None:
            return super().answer(data, client)
        query = dns.message.from_wire(data)
        response = respond(self._zone, query)
        assert response
        asked = Asked(query, response, client)
        self.asked.append(asked)
        self.oddity(asked)
        return False


def silent(asked: Asked) -> None:
    if not asked.over_udp:
        asked.hang()


def fails_with(rcode: dns.rcode.Rcode) -> Oddity:
    return lambda asked: asked.send_error(rcode)


def after(seconds: float) -> Oddity:
    """Answer late."""

    def answer(asked: Asked) -> None:
        time.sleep(seconds)
        asked.send()

    return answer


def at(name: str, oddity: Oddity) -> Oddity:
    """Be odd about *name* alone."""
    return lambda asked: oddity(asked) if asked.name.to_text() == name else asked.send()


# What comes before the right answer, or instead of it.


def forged(asked: Asked) -> None:
    """Let an attacker, who sees no query, answer first and for everybody."""
    forgery = dns.message.make_response(asked.query)
    everybody = dns.rrset.from_text(asked.name, 60, "IN", "TXT", '"v=spf1 +all"')
    forgery.answer.append(everybody)
    for number in range(1, 21):
        forgery.id = (asked.query.id + number) % 65536
        asked.send(forgery)
    from_elsewhere(asked, forgery)
    other = dns.message.make_response(dns.message.make_query("other.example", "TXT"))
    other.id = asked.query.id
    other.answer.append(everybody)
    asked.send(other)
    asked.send()


def from_elsewhere(asked: Asked, response: Message | None = None) -> None:
    """Answer from another port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto((response or asked.response).to_wire(), asked.client.address)


def garbage_first(asked: Asked) -> None:
    wire = asked.response.to_wire()
    for rubbish in (b"", b"garbage", b"\xff" * 600, wire[:11], wire[: len(wire) // 2]):
        asked.client.send(rubbish)
    asked.send()


def garbage(asked: Asked) -> None:
    asked.client.send(b"garbage" if asked.over_udp else b"\xff\xffgarbage")


def fifty_times(asked: Asked) -> None:
    for _ in range(50):
        asked.send()


def with_other_id(asked: Asked) -> None:
    asked.response.id ^= 1
    asked.send()


def as_a_query(asked: Asked) -> None:
    asked.response.flags &= ~dns.flags.QR
    asked.send()


def without_question(asked: Asked) -> None:
    asked.response.question.clear()
    asked.send()


# Answers that are right in spite of it.


def in_mixed_case(asked: Asked) -> None:
    """Spell the name as some resolvers do, to make forging harder (draft-vixie-dnsext-dns0x20)."""
    mixed = dns.name.Name(
        bytes(
            byte ^ 0x20 if n % 2 and chr(byte).isalpha() else byte for n, byte in enumerate(label)
        )
        for label in asked.name.labels
    )
    for rrset in (*asked.response.question, *asked.response.answer):
        rrset.name = mixed
    asked.send()


def with_unrelated_records(asked: Asked) -> None:
    unrelated = dns.rrset.from_text("other.example.", 60, "IN", "TXT", '"v=spf1 +all"')
    for section in SECTIONS:
        getattr(asked.response, section).append(unrelated)
    asked.send()


def unrelated_records_alone(asked: Asked) -> None:
    """Answer so where the SPF record is, and well elsewhere."""
    if asked.name.labels[0] == b"_dmarc":
        asked.send()
        return
    asked.response.answer.clear()
    with_unrelated_records(asked)


def with_ttl(seconds: int) -> Oddity:
    def answer(asked: Asked) -> None:
        for rrset in asked.response.answer:
            rrset.ttl = seconds
        asked.send()

    return answer


def with_dnssec_records(asked: Asked) -> None:
    records = {
        "RRSIG": "TXT 8 2 60 20380101000000 20200101000000 1 example. c2lnbmF0dXJl",
        "NSEC": "z.example. TXT RRSIG NSEC",
        "NSEC3": "1 0 1 aabb 2vptu5timamqttgl4luu9kg21e0aor3s TXT RRSIG",
    }
    for section in SECTIONS:
        for kind, data in records.items():
            getattr(asked.response, section).append(
                dns.rrset.from_text(asked.name, 60, "IN", kind, data)
            )
    asked.send()


def as_an_authority(asked: Asked) -> None:
    asked.response.flags |= dns.flags.AA
    asked.response.flags &= ~dns.flags.RA
    asked.send()


# Answers that cannot be read.


def with_malformed_authority(asked: Asked) -> None:
    """Add an address of three octets."""
    address = struct.pack("!xHHIH3s", dns.rdatatype.A, dns.rdataclass.IN, 60, 3, b"abc")
    _respond_with_more(asked, address, _AUTHORITY_COUNT)


def with_opt_as_answer(asked: Asked) -> None:
    """Put the record of EDNS where answers are."""
    opt = struct.pack("!xHHIH", dns.rdatatype.OPT, 1232, 0, 0)
    _respond_with_more(asked, opt, _ANSWER_COUNT)


def _respond_with_more(asked: Asked, record: bytes, count: int) -> None:
    asked.response.use_edns(False)
    asked.response.authority.clear()
    wire = bytearray(asked.response.to_wire())
    wire[count + 1] += 1
    asked.client.respond(bytes(wire) + record)


def only_over_udp(oddity: Oddity) -> Oddity:
    return lambda asked: oddity(asked) if asked.over_udp else asked.send()


# Too large for UDP.


def truncated(asked: Asked) -> None:
    """Say over UDP that the answer is too large."""
    if asked.over_udp:
        asked.response.flags |= dns.flags.TC
        asked.response.answer.clear()
    asked.send()


def truncated_with_data(asked: Asked) -> None:
    if asked.over_udp:
        asked.response.flags |= dns.flags.TC
    asked.send()


def truncated_and_slow_over_tcp(asked: Asked) -> None:
    if asked.over_udp:
        truncated(asked)
        return
    wire = asked.response.to_wire()
    whole = struct.pack("!H", len(wire)) + wire
    for place in range(0, len(whole), 8):
        asked.client.send(whole[place : place + 8])
        time.sleep(0.001)


def truncated_and_then(over_tcp: Oddity) -> Oddity:
    return lambda asked: truncated(asked) if asked.over_udp else over_tcp(asked)


def hangs_up(asked: Asked) -> None:
    """Say nothing, and end the connection."""


# EDNS.


def refuses_edns(rcode: dns.rcode.Rcode) -> Oddity:
    return lambda asked: asked.send_error(rcode) if asked.has_edns else asked.send()


def refuses_edns_with_a_header(asked: Asked) -> None:
    """Answer FORMERR with nothing behind the header, as old nameservers do."""
    if not asked.has_edns:
        asked.send()
        return
    asked.client.respond(struct.pack("!6H", asked.query.id, 0x8001, 0, 0, 0, 0))


def refuses_edns_and_echoes_it(asked: Asked) -> None:
    if not asked.has_edns:
        asked.send()
        return
    wire = bytearray(asked.query.to_wire())
    struct.pack_into("!H", wire, 2, 0x8001)
    asked.client.respond(bytes(wire))


def refuses_edns_twice(asked: Asked) -> None:
    """Have the refusal arrive again after the answer to what was asked next."""
    refuses_edns(dns.rcode.FORMERR)(asked)
    refuses_edns(dns.rcode.FORMERR)(asked)


def refuses_its_version(asked: Asked) -> None:
    if not asked.has_edns:
        asked.send()
        return
    error = dns.message.make_response(asked.query)
    error.use_edns(0)
    error.set_rcode(dns.rcode.BADVERS)
    asked.send(error)


def drops_edns(asked: Asked) -> None:
    if not asked.has_edns:
        asked.send()


def ignores_edns(asked: Asked) -> None:
    asked.response.use_edns(False)
    asked.send()


def silent_over_udp(asked: Asked) -> None:
    if not asked.over_udp:
        asked.send()
