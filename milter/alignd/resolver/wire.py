"""Converts names and records between the project's types and dnspython's."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype

# dnspython imports the module of a record type when it meets the first such record. Each of them
# is imported here, so that this happens at start and not while a message waits.
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.DNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rrset

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, Record, RecordType

_READERS: dict[type[dns.rdata.Rdata], Callable[[Any], Record]] = {
    dns.rdtypes.IN.A.A: lambda data: str(data.address),
    dns.rdtypes.IN.AAAA.AAAA: lambda data: str(data.address),
    dns.rdtypes.ANY.MX.MX: lambda data: MailExchange(data.preference, to_text(data.exchange)),
    dns.rdtypes.ANY.NS.NS: lambda data: to_text(data.target),
    dns.rdtypes.ANY.PTR.PTR: lambda data: to_text(data.target),
    # RFC 7208, section 3.3: the strings are joined without a separator.
    dns.rdtypes.ANY.TXT.TXT: lambda data: b"".join(data.strings),
}
"""How to read the data of a record, by dnspython's class; one entry for each RecordType."""

_CHEAP = 1232  # octets, what EDNS offers to take over UDP; nothing so small takes 20 ms
_MAX_READING = 40_000.0  # microseconds
_RECORD_COST, _OWNER_LABEL_COST, _STRING_COST = 50.0, 3.0, 5.0
_LABEL_COST, _LABEL_PAIR_COST = 5.0, 0.3  # of a name in the data of a record
_OCTET_COST = 20.0  # of any other data, as if all of it were such names
_MAX_STEPS = 1000  # a name has 127 labels; more are pointers to pointers
_POINTER = 0xC0  # RFC 1035, section 4.1.4
_COUNTS = struct.Struct("!4x4H")
_QUESTION_OCTETS = 4  # behind its name
_RECORD = struct.Struct("!H6xH")  # behind its name: the type, and the size of the data
_ADDRESSES = frozenset({dns.rdatatype.A, dns.rdatatype.AAAA})
_NAME_OFFSETS: dict[int, int] = {
    dns.rdatatype.CNAME: 0,
    dns.rdatatype.DNAME: 0,
    dns.rdatatype.MX: 2,
    dns.rdatatype.NS: 0,
    dns.rdatatype.PTR: 0,
}
"""Where the name is in the data of a record."""


@dataclass(frozen=True, slots=True)
class ReceivedAnswer:
    """An answer from the network."""

    answer: Answer
    ttl: float
    """Seconds: the least of its CNAME chain, and for an absence that of the SOA record
    (RFC 2308, section 5); very long when there is none."""


def to_name(text: str) -> dns.name.Name:
    """The absolute name of *text*, without escapes: SPF macros may leave any character in it.

    Raises:
        dns.exception.DNSException: a label or the whole is empty or too long.
        UnicodeEncodeError: *text* is not ASCII.
    """
    return dns.name.Name([*(label.encode("ascii") for label in text.split(".")), b""])


def to_rdtype(record_type: RecordType) -> dns.rdatatype.RdataType:
    return dns.rdatatype.from_text(record_type.value)


def read_response(response: dns.message.Message) -> ReceivedAnswer | LookupFailed:
    """Read a NOERROR or NXDOMAIN *response*, following its CNAMEs."""
    try:
        chain = response.resolve_chaining()  # type: ignore[attr-defined]  # of a query's response
        records = to_records(chain.answer) if chain.answer is not None else ()
    except (dns.exception.DNSException, ValueError) as error:
        return LookupFailed(f"not an answer: {type(error).__name__}")
    # The name at the end of a CNAME may not exist; the one asked for does.
    exists = response.rcode() != dns.rcode.NXDOMAIN or bool(response.answer)
    alias_of = to_text(chain.cnames[0][0].target) if chain.cnames else ""
    answer = Answer(records, exists=exists, alias_of=alias_of)
    return ReceivedAnswer(answer, float(chain.minimum_ttl))


def unanswered_alias(response: dns.message.Message) -> dns.name.Name | None:
    """The name that the aliases of *response* end at, when it says nothing of that name.

    A nameserver that does not follow aliases leaves that to whoever asks (RFC 1034, section
    4.3.2). Only a SOA record says that there is nothing to find (RFC 2308, section 2.2).

    Raises:
        dns.exception.DNSException: the aliases make no sense.
    """
    _spell_out_dnames(response)
    chain = response.resolve_chaining()  # type: ignore[attr-defined]
    negative = response.rcode() == dns.rcode.NXDOMAIN or any(
        rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority
    )
    is_open = chain.cnames and chain.answer is None and not negative
    return chain.canonical_name if is_open else None


def append_answer(response: dns.message.Message, more: dns.message.Message) -> None:
    """Add to *response* what *more* says of the name that its aliases end at."""
    for rrset in more.answer:
        _add(response, response.answer, rrset)
    for rrset in more.authority:
        _add(response, response.authority, rrset)
    response.set_rcode(more.rcode())


def alias_below(dname: dns.rrset.RRset, name: dns.name.Name) -> dns.rrset.RRset | None:
    """The CNAME record that *dname* makes of *name*, RFC 6672, section 2.2; None for others.

    Raises:
        dns.name.NameTooLong: it would lead to a name that DNS cannot carry.
    """
    if name == dname.name or not name.is_subdomain(dname.name):
        return None
    target = name.relativize(dname.name).concatenate(dname[0].target)
    return dns.rrset.from_text(name, dname.ttl, dname.rdclass, "CNAME", target.to_text())


def _spell_out_dnames(response: dns.message.Message) -> None:
    """Add the CNAME records that stand for DNAME records, where the nameserver left them out."""
    dnames = [each for each in response.answer if each.rdtype == dns.rdatatype.DNAME]
    for _ in dnames:
        name = response.resolve_chaining().canonical_name  # type: ignore[attr-defined]
        for dname in dnames:
            if alias := alias_below(dname, name):
                _add(response, response.answer, alias)
                break


def _add(
    response: dns.message.Message, section: list[dns.rrset.RRset], rrset: dns.rrset.RRset
) -> None:
    # Not by append(): dnspython finds what it has in an index of its own.
    own = response.find_rrset(section, rrset.name, rrset.rdclass, rrset.rdtype, create=True)
    own.update(rrset)  # type: ignore[no-untyped-call]


def is_costly(wire: bytes) -> bool:
    """Whether to read the response *wire* takes more processor time than any answer is worth.

    What is in 64 kB is up to whoever owns a domain: 250 texts take 15 ms, names of a hundred
    labels a second. A bound in octets would tell neither from the other.
    """
    return len(wire) > _CHEAP and _reading_cost(wire) > _MAX_READING


def _reading_cost(wire: bytes) -> float:
    """The microseconds that dnspython takes to read *wire*, as measured on one core of 2026.

    It stops where *wire* is malformed, as dnspython does, and where the cost is too high.
    """
    cost = 0.0
    try:
        questions, *counts = _COUNTS.unpack_from(wire)
        place = _COUNTS.size
        for _ in range(questions):
            place = _name_at(wire, place)[0] + _QUESTION_OCTETS
        for _ in range(sum(counts)):
            place, labels = _name_at(wire, place)
            rdtype, size = _RECORD.unpack_from(wire, place)
            place += _RECORD.size
            cost += (
                _RECORD_COST + labels * _OWNER_LABEL_COST + _data_cost(wire, place, rdtype, size)
            )
            place += size
            if cost > _MAX_READING:
                break
    except (IndexError, struct.error):
        pass
    return cost


def _data_cost(wire: bytes, place: int, rdtype: int, size: int) -> float:
    if rdtype in _ADDRESSES:
        return 0.0
    if rdtype == dns.rdatatype.TXT:
        end, strings = place + size, 0
        while place < end and strings * _STRING_COST <= _MAX_READING:
            place, strings = place + 1 + wire[place], strings + 1
        return strings * _STRING_COST
    if rdtype in _NAME_OFFSETS:
        _, labels = _name_at(wire, place + _NAME_OFFSETS[rdtype])
        return labels * (_LABEL_COST + labels * _LABEL_PAIR_COST)
    return size * _OCTET_COST


def _name_at(wire: bytes, place: int) -> tuple[int, int]:
    """The end of the name at *place*, and how many labels and pointers it has."""
    end, labels = 0, 0
    while (size := wire[place]) and labels <= _MAX_STEPS:
        labels += 1
        if size < _POINTER:
            place += 1 + size
        else:
            end = end or place + 2
            place = (size & ~_POINTER) << 8 | wire[place + 1]
    return end or place + 1, labels


def to_records(rrset: dns.rrset.RRset) -> tuple[Record, ...]:
    """The data of *rrset*, whose type is one of RecordType, in the shapes of `Record`."""
    return tuple(_READERS[type(data)](data) for data in rrset)


def to_text(name: dns.name.Name) -> str:
    """*name* without its final dot; empty for the root, as in a null MX (RFC 7505)."""
    return "" if name == dns.name.root else str(name.to_text(omit_final_dot=True))
