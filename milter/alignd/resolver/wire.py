"""Converts names and records between the project's types and dnspython's."""

from __future__ import annotations

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
    dns.rdtypes.ANY.PTR.PTR: lambda data: to_text(data.target),
    # RFC 7208, section 3.3: the strings are joined without a separator.
    dns.rdtypes.ANY.TXT.TXT: lambda data: b"".join(data.strings),
}
"""How to read the data of a record, by dnspython's class; one entry for each RecordType."""


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


def to_records(rrset: dns.rrset.RRset) -> tuple[Record, ...]:
    """The data of *rrset*, whose type is one of RecordType, in the shapes of `Record`."""
    return tuple(_READERS[type(data)](data) for data in rrset)


def to_text(name: dns.name.Name) -> str:
    """*name* without its final dot; empty for the root, as in a null MX (RFC 7505)."""
    return "" if name == dns.name.root else str(name.to_text(omit_final_dot=True))
