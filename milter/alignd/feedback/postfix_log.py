"""Reads what Postfix logs of a delivery, and keeps no address of a person."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from alignd.feedback.entry import Entry
from alignd.feedback.patterns import MAX_REPLY
from alignd.mail.domain import Domain, DomainError
from alignd.mail.ip_address import parse_ip_address
from alignd.mailauth.rfc7489 import PublicSuffixes

QUEUE_ID = r"[0-9A-Za-z]{5,40}"
"""Both forms: hexadecimal, and long with enable_long_queue_ids."""


class Status(Enum):
    """What became of a delivery."""

    SENT = "sent"
    BOUNCED = "bounced"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a receiver answered."""

    queue_id: str
    when: float | None
    status: Status
    dsn: str
    """The enhanced status code."""
    receiver: str
    """The organisational domain of the host that answered, or its address."""
    reply: str
    """Without the addresses in it."""
    next_queue_id: str = ""
    """The id in the same or another Postfix on this machine, where it went there."""


# Possessive throughout, so that no text takes more than one pass. A quoted local part may hold
# what looks like the end of the address and further fields: it is one piece.
_ADDRESS = r'<(?:"(?:[^"\\]|\\.)*+"|[^">])*+>'
_DELIVERY = re.compile(
    rf"(?P<queue_id>{QUEUE_ID}): to={_ADDRESS}, (?:orig_to={_ADDRESS}, )?"
    r"relay=(?P<host>[^\s\[\],]{1,255})\[(?P<ip>[0-9A-Fa-f.:]{2,45})\](?::[0-9]{1,5})?, "
    r"(?:[a-z_]{1,20}=[^\s,]{1,100}, ){0,8}?"
    r"dsn=(?P<dsn>[245]\.[0-9]{1,3}\.[0-9]{1,3}), "
    r"status=(?P<status>sent|bounced|deferred) \((?P<reply>.*)",
    re.DOTALL,
)
# The daemon that speaks to receivers; the middle is the service's name where it has one.
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,60}(?:/[A-Za-z0-9_.-]{1,60})?/(?:smtp|lmtp)")
_BOUNCE_TAG = re.compile(r"[A-Za-z0-9_.-]{1,60}(?:/[A-Za-z0-9_.-]{1,60})?/bounce")
_NOTICE = re.compile(
    rf"{QUEUE_ID}: (?:sender|postmaster) (?:non-delivery|delay|delivery status) notification: "
    rf"({QUEUE_ID})"
)
_SAID = re.compile(r"host \S{1,300} (?:said|refused to talk to me): ")
_NEXT = re.compile(rf"queued as ({QUEUE_ID})\b")
_WORD = re.compile(r"[^\s<>()]++")


def read_delivery(entry: Entry, organization: Callable[[str], str]) -> Delivery | None:
    """Read an *entry* on a delivery to a receiver; None for every other.

    *organization* is `organization_of` with a list of suffixes.
    """
    if not _TAG.fullmatch(entry.tag):
        return None
    match = _DELIVERY.match(entry.text)
    if match is None:
        return None
    text = match["reply"][:MAX_REPLY]
    is_near = match["ip"].startswith("127.") or match["ip"] == "::1"
    found = _NEXT.search(text) if is_near and match["status"] == "sent" else None
    # Where Postfix itself gives up, as when TLS is not to be had, no receiver said anything.
    said = _SAID.match(text)
    return Delivery(
        match["queue_id"],
        entry.when,
        Status(match["status"]),
        match["dsn"],
        organization(match["host"]) or match["ip"],
        _without_addresses(text[said.end() :].removesuffix(")")) if said else "",
        found[1] if found else "",
    )


def read_notice(entry: Entry) -> str:
    """The queue id of a bounce that Postfix itself has written; empty for every other *entry*."""
    match = _NOTICE.fullmatch(entry.text) if _BOUNCE_TAG.fullmatch(entry.tag) else None
    return match[1] if match else ""


def organization_of(host: str, suffixes: PublicSuffixes) -> str:
    """The organisational domain of *host*; empty if it is an address or no name."""
    try:
        parse_ip_address(host)
    except ValueError:
        pass
    else:
        return ""
    try:
        return suffixes.registered_domain(Domain.parse(host)).name
    except DomainError:
        return ""


def _without_addresses(text: str) -> str:
    return _WORD.sub(lambda word: "ADDRESS" if "@" in word[0] else word[0], text)
