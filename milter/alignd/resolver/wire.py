"""How dnspython's names and records become ours, and ours become dnspython's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

# dnspython would import these when it meets the first record of the type, while a message waits.
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rrset

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, Record


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer from the network."""

    answer: Answer
    ttl: float
    """Seconds: the least of its CNAME chain, and for an absence that of the SOA record
    (RFC 2308, section 5); very long when there is none."""


def to_name(text: str) -> dns.name.Name:
    """The absolute name of *text*, taken as it is: SPF macros may leave any character in it.

    Raises:
        dns.exception.DNSException: a label or the whole is empty or too long.
        UnicodeEncodeError: *text* is not ASCII.
    """
    return dns.name.Name([*(label.encode("ascii") for label in text.split(".")), b""])


def read_response(response: dns.message.Message) -> Heard | LookupFailed:
    """What a nameserver's final *response* says, with CNAMEs followed."""
    try:
        chain = response.resolve_chaining()  # type: ignore[attr-defined]  # of a query's response
        records = to_records(chain.answer) if chain.answer is not None else ()
    except (dns.exception.DNSException, ValueError) as error:
        return LookupFailed(f"not an answer: {type(error).__name__}")
    # The name at the end of a CNAME may not exist; the one asked for does.
    exists = response.rcode() != dns.rcode.NXDOMAIN or bool(response.answer)
    alias_of = _to_text(chain.cnames[0][0].target) if chain.cnames else ""
    answer = Answer(records, exists=exists, alias_of=alias_of)
    return Heard(answer, float(chain.minimum_ttl))


def to_records(rrset: dns.rrset.RRset) -> tuple[Record, ...]:
    """The data of *rrset* in the shapes of `lookup.Record`."""
    return tuple(_to_record(data) for data in rrset)


def _to_record(data: Any) -> Record:
    match data.rdtype:
        case dns.rdatatype.TXT:
            # RFC 7208, section 3.3: the strings are joined without a separator.
            return b"".join(data.strings)
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return str(data.address)
        case dns.rdatatype.MX:
            return MailExchange(data.preference, _to_text(data.exchange))
        case dns.rdatatype.PTR:
            return _to_text(data.target)
        case _:
            raise ValueError(f"no record of a type that is asked for: {data.rdtype!r}")


def _to_text(name: dns.name.Name) -> str:
    return "" if name == dns.name.root else str(name.to_text(omit_final_dot=True))
