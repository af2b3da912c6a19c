"""How dnspython's names and records become ours, and ours become dnspython's."""

from __future__ import annotations

from typing import Any

import dns.name
import dns.rdatatype
import dns.rrset

from alignd.lookup import MailExchange, Record


def to_name(text: str) -> dns.name.Name:
    """The absolute name of *text*, taken as it is: SPF macros may leave any character in it.

    Raises:
        dns.exception.DNSException: a label or the whole is empty or too long.
        UnicodeEncodeError: *text* is not ASCII.
    """
    return dns.name.Name([*(label.encode("ascii") for label in text.split(".")), b""])


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
