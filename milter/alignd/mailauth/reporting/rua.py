"""Reads and extends the tag rua of a DMARC record (RFC 9989, section 4.7)."""

from __future__ import annotations

import re

from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dmarc import MAX_RECORD, DmarcRecord, Tags

_SCHEME = "mailto:"
_SIZE = re.compile(r"![0-9]+[kmgt]?$")
"""The largest report that is taken (RFC 7489, section 6.2)."""
_END = re.compile(r"[;\s]*$")
_OF_REPORTS = {"rua", "mailto"}
"""What the tag is made of; the second, where a receiver ends a value at a blank."""


def new_record(address: Mailbox | None) -> str:
    """A record for a domain without one, which asks for no more than reports to *address*."""
    return "v=DMARC1; p=none" + (f"; rua={_SCHEME}{address.address}" if address else "")


def report_addresses(tags: Tags) -> tuple[str, ...]:
    """The addresses that every receiver finds in a record, in lower case and in its order."""
    values = [_addresses(value) for value in tags.values("rua")]
    first = values[0] if values else ()
    return tuple(each for each in first if all(each in other for other in values))


def asks(text: str, address: Mailbox) -> bool:
    """Whether receivers of the record *text* send reports to *address*, if that is allowed."""
    return address.address.lower() in report_addresses(Tags.parse(text))


def with_address(text: str, address: Mailbox) -> str | None:
    """The record *text* with *address* among those of rua, and all else as it stands.

    None where receivers would not all read it so, as where the tag stands twice.
    """
    parts = text.split(";")
    places = [place for place, part in enumerate(parts) if _name(part) == "rua"]
    if len(places) > 1:
        return None
    if places:
        before, _, value = parts[places[0]].partition("=")
        blank = value[: len(value) - len(value.lstrip())]
        parts[places[0]] = f"{before}={blank}{_list_of(value, address)}"
        made = ";".join(parts)
    else:
        end = ";" if text.rstrip().endswith(";") else ""
        made = f"{_END.sub('', text)}; rua={_SCHEME}{address.address}{end}"
    is_meant = asks(made, address) and _rest(made) == _rest(text) and len(made) <= MAX_RECORD
    return made if is_meant else None


def _list_of(value: str, address: Mailbox) -> str:
    # Without blanks: rspamd 3.4 ends a value at one, and reads no address behind it.
    uris = [uri for uri in ("".join(part.split()) for part in value.split(",")) if uri]
    known = {found for uri in uris for found in _addresses(uri)}
    if address.address.lower() not in known:
        uris.append(f"{_SCHEME}{address.address}")
    return ",".join(uris)


def _name(part: str) -> str:
    return part.partition("=")[0].strip().lower()


def _addresses(value: str) -> tuple[str, ...]:
    found = (_SIZE.sub("", uri) for uri in value.lower().split(","))
    return tuple(
        uri.removeprefix(_SCHEME).partition("?")[0] for uri in found if uri.startswith(_SCHEME)
    )


def _rest(text: str) -> tuple[DmarcRecord, frozenset[tuple[str, str]]]:
    tags = Tags.parse(text)
    return DmarcRecord.from_tags(tags), frozenset(
        (name, value) for name, value in tags.pairs if name not in _OF_REPORTS
    )
