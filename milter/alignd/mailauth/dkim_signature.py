"""DKIM-Signature fields (RFC 6376, section 3.5), read so that every receiver reads them alike.

A field counts when OpenDKIM 2.11, rspamd 3.4, dkimpy 1.1 and mailauth 4 all verify a signature
that is written so (measured, oddity by oddity). Where one of them differs, a pass is not certain.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from alignd.mail.domain import Domain, DomainError
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dkim_key import SAFE_ALGORITHM, DkimResult, decode_base64, parse_tags

MAX_FIELD = 8192
"""Octets of the longest field that is read. One with a 4096-bit key and a hundred names in h=
takes 3 kB; what dkimpy does with white space in b= is quadratic."""
MAX_NAMES = 300
"""Names in h= (measured: all take as many)."""
MAX_SIGNATURES = 2
"""Signatures of one message that are looked at, topmost first. OpenDKIM looks at three, and the
signer behind alignd puts one on top."""
MAX_FIELDS = 64
"""DKIM-Signature fields of one message that make sense."""
EXPIRY_MARGIN = 3600
"""Seconds before a signature expires (x=) in which it no longer counts: mail waits in queues."""
CLOCK_MARGIN = 30
"""Seconds that a signature may be dated in the future (t=): clocks differ. rspamd allows 60."""
FIRST_DATE = 1_000_000_000
"""The earliest t= that is one, of 2001: OpenDKIM refuses 0, and DKIM is of 2007."""

# Fields that no hop adds to a message, so that h= may name them oftener than the message has
# them: those that its author's program writes. Who signs another field that is not there, such as
# Received, forbids the next hop to add it.
# fmt: off
_ADDED_BY_NO_HOP = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "subject", "comments", "keywords",
        "in-reply-to", "references", "mime-version", "content-type", "content-transfer-encoding",
        "content-id", "content-description", "content-disposition", "content-language",
        "content-base", "content-location", "list-id", "list-help", "list-owner", "list-post",
        "list-archive", "list-subscribe", "list-unsubscribe", "list-unsubscribe-post",
        "feedback-id", "organization", "openpgp", "autocrypt", "importance", "priority",
        "x-priority", "x-msmail-priority", "x-mailer", "user-agent", "thread-topic",
        "thread-index", "disposition-notification-to", "auto-submitted", "precedence",
    }
)
# fmt: on
# Fields that a hop adds where there is none (Postfix with always_add_missing_headers, Exchange),
# and never a second one.
_ADDED_IF_MISSING = frozenset({"date", "message-id"})
# fmt: off
FIELDS_OF_HOPS = _ADDED_IF_MISSING | frozenset(
    {
        "received", "return-path", "delivered-to", "x-original-to", "envelope-to",
        "received-spf", "authentication-results", "arc-seal", "arc-message-signature",
        "arc-authentication-results", "domainkey-signature", "x-received", "x-spam-flag",
        "x-spam-level", "x-spam-score", "x-spam-status", "x-virus-scanned", "x-originating-ip",
        "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-date",
        "resent-message-id", "x-original-from", "alignd",
    }
)
# fmt: on
"""Fields that hops are known to add, in lower case; of others it is only not known that they are
not."""

_NEEDED_TAGS = frozenset({"v", "a", "b", "bh", "d", "h", "s"})
_NEEDED_BY_OPENDKIM = _NEEDED_TAGS - {"bh"}
_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_FIELD_NAME = re.compile(r"[!-9<-~]+")
# OpenDKIM decodes the quoted-printable of section 2.11, and takes capitals alone.
_IDENTITY = re.compile(r"(?:[^@=]|=[0-9A-F]{2})*@(?P<domain>[A-Za-z0-9_.-]+)")
_PLAIN_IDENTITY = re.compile(r"[A-Za-z0-9.!#$%&'*+/?^_`{|}~-]*@[A-Za-z0-9_.-]+")
_ALGORITHM = re.compile(r"[A-Za-z0-9-]+")
_ENCODED_AT = "=40"
_NUMBER = re.compile(r"[0-9]{1,12}")
# What all take. Of q=, dkimpy takes no list; OpenDKIM and mailauth alone take capitals.
_VALUES = {
    "v": re.compile(r"1"),
    "a": re.compile(SAFE_ALGORITHM),
    "c": re.compile(r"(relaxed|simple)(/(relaxed|simple))?"),
    "q": re.compile(r"dns/txt"),
    "l": re.compile(r"[0-9]{1,20}"),
    "t": _NUMBER,
    "x": _NUMBER,
}
_SHOWN = 40  # characters of a value in an explanation
_RUN_OF_BLANKS = re.compile(rb"[ \t\r\n]{65}")


@dataclass(frozen=True, slots=True)
class Signature:
    """A field that every receiver reads alike."""

    domain: Domain
    selector: str
    identity: Domain
    """The domain of i=, which is d= where there is none."""
    names: tuple[str, ...]
    """h=, in lower case."""
    relaxed_header: bool
    relaxed_body: bool
    body_hash: bytes
    signature: bytes
    length: int | None
    """l=; None when the whole body is signed."""


@dataclass(frozen=True, slots=True)
class SignatureProblem:
    """The reason why not every receiver can use a signature, and what its result is."""

    result: DkimResult
    explanation: str


def signature_tags(field: HeaderField) -> dict[str, str]:
    """Parse the tags of a DKIM-Signature *field*; an empty dictionary if it has no tag list."""
    if len(field.value) > MAX_FIELD:
        return {}
    return parse_tags(field.unfolded.decode("latin-1")) or {}


def signed_names(tags: Mapping[str, str]) -> frozenset[str]:
    """The names in h= of *tags*, in lower case, whatever else is wrong with it."""
    return frozenset(name.strip().lower() for name in tags.get("h", "").split(":"))


def signature_domain(tags: Mapping[str, str]) -> Domain | None:
    """Parse the d= of *tags*; None if it is not a domain name."""
    return _parsed(tags.get("d", ""))


def hides_all_signatures(message: Message) -> bool:
    """Whether a DKIM-Signature field of *message* has OpenDKIM verify no signature at all.

    It gives up on the message, whichever field it is and however many there are (measured), where
    a field is no tag list, lacks a tag, or has a time that is no number.
    """
    fields = message.fields("DKIM-Signature")
    return len(fields) > MAX_FIELDS or any(is_malformed(signature_tags(each)) for each in fields)


def is_malformed(tags: Mapping[str, str]) -> bool:
    """Whether OpenDKIM cannot read a field with these *tags*, as `signature_tags` reads them."""
    times = (tags[name] for name in ("t", "x") if name in tags)
    return not tags.keys() >= _NEEDED_BY_OPENDKIM or not all(map(_NUMBER.fullmatch, times))


def is_plain(tags: Mapping[str, str]) -> bool:
    """Whether a verifier that writes *tags* down writes nothing but them."""
    return (
        _HOST.fullmatch(tags.get("d", "")) is not None
        and _HOST.fullmatch(tags.get("s", "")) is not None
        and _ALGORITHM.fullmatch(tags.get("a", "")) is not None
        and ("i" not in tags or _PLAIN_IDENTITY.fullmatch(tags["i"]) is not None)
    )


def read_signature(
    field: HeaderField, message: Message, now: float, *, is_whole: bool = True
) -> Signature | SignatureProblem:
    """Read a *field* of *message*, whose other fields are those that h= may name.

    Unless the message *is_whole*, it has of the header `FIELDS_OF_HOPS` at least.
    """
    tags = signature_tags(field)
    domain = signature_domain(tags)
    if domain is None or not _HOST.fullmatch(tags["d"]) or not _HOST.fullmatch(tags.get("s", "")):
        return _permanent("not a signature of a domain")
    problem = _syntax_problem(field, tags) or _time_problem(tags, now)
    if problem is not None:
        return problem
    names = _names(tags["h"])
    if isinstance(names, SignatureProblem):
        return names
    if name := _forbidden_to_hops(names, message, is_whole=is_whole):
        return _policy(f"h= forbids the next hop to add {name}")
    return _read(tags, domain, names)


def _syntax_problem(field: HeaderField, tags: Mapping[str, str]) -> SignatureProblem | None:
    if not tags.keys() >= _NEEDED_TAGS or not all(tags.values()):
        return _permanent("a tag is missing or empty")
    for name, value in tags.items():
        if name in _VALUES and not _VALUES[name].fullmatch(value):
            return _policy(f"not every receiver accepts {name}={value[:_SHOWN]}")
    if not _is_b_plain(field.value) or _RUN_OF_BLANKS.search(field.value):
        return _policy("not every receiver finds b= in it")
    return None


def _is_b_plain(value: bytes) -> bool:
    """Whether every receiver finds the same b=, which it leaves out of what it hashes.

    OpenDKIM and rspamd take whatever ends in "b=" for it, and none finds "b =".
    """
    return all(
        part.lstrip().startswith(b"b=") or not part.partition(b"=")[0].rstrip().endswith(b"b")
        for part in value.split(b";")
    )


def _time_problem(tags: Mapping[str, str], now: float) -> SignatureProblem | None:
    signed = int(tags.get("t", FIRST_DATE))
    if signed < FIRST_DATE or signed > now + CLOCK_MARGIN:
        return _policy("it is from the future, or from before DKIM")
    if "x" in tags and int(tags["x"]) <= max(signed, now + EXPIRY_MARGIN):
        return _policy("it is past, or expires soon")
    return None


def _names(value: str) -> tuple[str, ...] | SignatureProblem:
    names = tuple(name.strip().lower() for name in value.removesuffix(":").split(":"))
    if len(names) > MAX_NAMES or not all(map(_FIELD_NAME.fullmatch, names)):
        return _permanent("h= is not a list of field names")
    if "from" not in names:
        return _permanent("From is not signed")
    if "dkim-signature" in names:
        # Section 3.7 leaves out the field itself, and dkimpy does not.
        return _policy("not every receiver finds the same DKIM-Signature fields")
    return names


def _forbidden_to_hops(names: tuple[str, ...], message: Message, *, is_whole: bool) -> str | None:
    """The name of a field that a hop may add, and that h= names oftener than it is there."""
    # Postfix's own Received is not seen here. It comes on top, and fields are taken from below.
    present = Counter(field.name.lower() for field in message.header)
    for name, count in Counter(names).items():
        if count <= present[name] or name in _ADDED_BY_NO_HOP:
            continue
        if not is_whole and name not in FIELDS_OF_HOPS:
            continue  # it may well be there
        if name not in _ADDED_IF_MISSING or not present[name]:
            return name
    return None


def _read(
    tags: Mapping[str, str], domain: Domain, names: tuple[str, ...]
) -> Signature | SignatureProblem:
    identity = _identity(tags["i"]) if "i" in tags else domain
    if identity is None:
        return _permanent("i= is not an address that every receiver reads alike")
    body_hash, signature = decode_base64(tags["bh"]), decode_base64(tags["b"])
    if body_hash is None or signature is None:
        return _permanent("bh= or b= is not base64")
    header, _, body = tags.get("c", "simple").partition("/")
    return Signature(
        domain=domain,
        selector=tags["s"],
        identity=identity,
        names=names,
        relaxed_header=header == "relaxed",
        relaxed_body=body == "relaxed",
        body_hash=body_hash,
        signature=signature,
        length=int(tags["l"]) if "l" in tags else None,
    )


def _identity(value: str) -> Domain | None:
    match = _IDENTITY.fullmatch(value)
    if match is None or _ENCODED_AT in value or not _HOST.fullmatch(match["domain"]):
        return None
    return _parsed(match["domain"])


def _parsed(text: str) -> Domain | None:
    try:
        return Domain.parse(text)
    except DomainError:
        return None


def _permanent(explanation: str) -> SignatureProblem:
    return SignatureProblem(DkimResult.PERMERROR, explanation)


def _policy(explanation: str) -> SignatureProblem:
    return SignatureProblem(DkimResult.POLICY, explanation)
