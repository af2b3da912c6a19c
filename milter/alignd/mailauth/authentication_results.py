"""Reads Authentication-Results (RFC 8601) of upstream verifiers that the operator trusts.

Only DKIM is read: the SPF and DMARC results of a verifier before alignd are about another client
address than this relay's.

A verifier removes fields with its own name that a client has forged, as far as it can parse them:
OpenDKIM leaves in what its own parser refuses (measured). So a field counts only when it is in the
form that OpenDKIM, rspamd and dkimpy-milter write, which OpenDKIM's parser takes, and only the
topmost one of a name that says anything of DKIM, because a verifier puts its own on top.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import authres

from alignd.mail.domain import Domain
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dkim import CheckedSignature, Source, usable_key
from alignd.mailauth.dkim_key import SAFE_ALGORITHM, DkimResult, KeyProblem
from alignd.mailauth.dkim_signature import (
    MAX_SIGNATURES,
    SignatureProblem,
    hides_all_signatures,
    is_malformed,
    is_plain,
    read_signature,
    signature_domain,
    signature_tags,
)
from alignd.mailauth.dns import Lookup

MAX_LENGTH = 2048
"""Octets of the longest field that is read. OpenDKIM's parser holds 4,096 octets and 512 words."""
MAX_RESULTS = 16
"""Results in a field: OpenDKIM's parser holds no more (measured)."""
MAX_PROPERTIES = 8
"""Properties of a result; verifiers write six, and OpenDKIM's parser holds 16."""
MAX_DOTS = 160
"""Of the signs that OpenDKIM's parser makes words of, with the word before each."""
_MAX_READ = 8  # fields of trusted names; each verifier writes one or two
_MAX_ID = 512  # octets, with the white space before it

AUTHENTICATION_RESULTS, DKIM_SIGNATURE = "authentication-results", "dkim-signature"
UPSTREAM_FIELDS = frozenset({AUTHENTICATION_RESULTS, DKIM_SIGNATURE})
"""The names of the fields that are read, in lower case."""

# What all of OpenDKIM's states get through, whoever wrote it. A value is not empty, and does not
# begin or end with a sign that parts words; a comment or a quoted string has nothing in it that
# may end or begin one.
_WORD = r"[^\s;=.\"()\\]+"
_VALUE = rf"(?:{_WORD}(?:[.=]{_WORD})*|\"[^\"\\()]+\")"
_PROPERTY = rf"(?:smtp|header|body|policy)\.[A-Za-z0-9_-]+={_VALUE}"
_COMMENT = r"\([^()\"\\]*\)"
_RESULT = re.compile(
    rf"\s*(?P<method>[A-Za-z][A-Za-z0-9-]*)=(?P<result>[a-z]+)"
    rf"(?:\s+{_COMMENT})*(?:\s+reason=\"[^\"\\()]*\"(?:\s+{_COMMENT})*)?"
    rf"(?P<properties>(?:\s+{_PROPERTY}(?:\s+{_COMMENT})*)*)\s*(?:;|\Z)"
)
_START = re.compile(r"(?:\s+1)?\s*;")  # with or without the version of section 2.2
_COMMENTS = re.compile(_COMMENT)
_PROPERTIES = re.compile(_PROPERTY)
_NEEDED = ("header.d=", "header.s=", "header.a=")
_SAYS_DKIM = re.compile(rb"dkim", re.IGNORECASE)
_ID_END = re.compile(r"[\s;]")


@dataclass(frozen=True, slots=True)
class _Report:
    """A pass that a trusted verifier reports."""

    authserv_id: str
    domain: Domain
    selector: str
    """Empty where the verifier does not say."""
    algorithm: str

    def __str__(self) -> str:
        selector = f" header.s={self.selector}" if self.selector else ""
        algorithm = f" header.a={self.algorithm}" if self.algorithm else ""
        return f"; dkim=pass header.d={self.domain}{selector}{algorithm}"


def read_upstream(
    message: Message, trusted_authserv_ids: Iterable[str], lookup: Lookup, now: float
) -> tuple[CheckedSignature, ...]:
    """Read the DKIM passes that verifiers with a trusted authserv-id report in *message*."""
    reports = _reports(message, trusted_authserv_ids)
    return tuple(_checked(report, message, lookup, now) for report in reports)


def reduced_upstream(
    message: Message, trusted_authserv_ids: Iterable[str], now: float
) -> tuple[tuple[str, bytes], ...]:
    """Reduce the fields of *message* that are read to what is read in them.

    No two signatures are the same, but what `read_upstream` and `hides_all_signatures` say of
    what is left here is what they say of *message*.
    """
    reports = _reports(message, trusted_authserv_ids)
    # One field for each name: of two, the lower one would say nothing.
    named = {report.authserv_id: "" for report in reports}
    for report in reports:
        named[report.authserv_id] += str(report)
    reported = [(AUTHENTICATION_RESULTS, f"{name}{said}".encode()) for name, said in named.items()]
    signatures = [
        (DKIM_SIGNATURE, _reduced_signature(field, message, now, is_judged=bool(reports)))
        for field in message.fields(DKIM_SIGNATURE)
    ]
    return (*reported, *signatures)


def _reduced_signature(
    field: HeaderField, message: Message, now: float, *, is_judged: bool
) -> bytes:
    tags = signature_tags(field)
    if is_malformed(tags):
        return b""
    if not is_judged:
        return b"v=1; a=none; d=none; s=none; h=from; bh=AAAA; b=AAAA"
    read = read_signature(field, message, now, is_whole=False)
    if isinstance(read, SignatureProblem):
        text = f"v=1; a=none; d={tags['d']}; s={tags['s']}; h=from; bh=AAAA; b=AAAA"
    else:
        text = (
            f"v=1; a={SAFE_ALGORITHM}; d={tags['d']}; s={tags['s']}; i=@{read.identity};"
            " h=from; bh=AAAA; b=AAAA"
        )
    return text.encode("latin-1")


def _reports(message: Message, trusted_authserv_ids: Iterable[str]) -> tuple[_Report, ...]:
    trusted = {authserv_id.lower() for authserv_id in trusted_authserv_ids}
    fields = message.fields(AUTHENTICATION_RESULTS) if trusted else ()
    if not fields or not _is_read_by_opendkim(message):
        return ()
    return tuple(_decisive(fields, trusted))


def _is_read_by_opendkim(message: Message) -> bool:
    """Whether OpenDKIM comes as far as removing what a client has forged, and adds nothing to it.

    It gives up on a message with a malformed DKIM-Signature or From, and leaves everything in. And
    it decodes i=: "=3B=20dkim=3Dpass..." there is another result in its own field (all measured).
    """
    return (
        not hides_all_signatures(message)
        and all(is_plain(signature_tags(each)) for each in message.fields(DKIM_SIGNATURE))
        and all(_is_balanced(each.value) for each in message.fields("From"))
    )


def _is_balanced(value: bytes) -> bool:
    is_even = value.count(b'"') % 2 == 0 and value.count(b"(") == value.count(b")")
    return is_even and b"\\" not in value


def _decisive(fields: Iterable[HeaderField], trusted: set[str]) -> Iterator[_Report]:
    """Read the topmost field of each trusted name that says anything of DKIM."""
    named = (field for field in fields if _authserv_id(field) in trusted)
    seen = set()
    for field in islice(named, _MAX_READ):
        authserv_id = _authserv_id(field)
        if authserv_id in seen:
            continue
        results = _results(field, len(authserv_id))
        if results is None:
            # It may mean anything. If it is a client's, nothing below is the verifier's.
            if _SAYS_DKIM.search(field.value):
                seen.add(authserv_id)
            continue
        if any(method == "dkim" for method, _, _ in results):
            seen.add(authserv_id)
        for method, result, properties in results:
            if (method, result) == ("dkim", "pass"):
                yield from _report(authserv_id, properties)


def _authserv_id(field: HeaderField) -> str:
    """What stands where the authserv-id is; found in any field without parsing it."""
    value = field.value[:_MAX_ID].decode("latin-1").lstrip()
    return _ID_END.split(value, maxsplit=1)[0].lower()


def _results(field: HeaderField, size: int) -> list[tuple[str, str, str]] | None:
    """The method, result and properties of each result; None if it is in another form."""
    if len(field.value) > MAX_LENGTH or not field.value.isascii():
        return None
    text = field.unfolded.decode("ascii").strip()
    start = _START.match(text, size)
    if start is None or sum(map(text.count, ";.=")) > MAX_DOTS:
        return None
    results: list[tuple[str, str, str]] = []
    position = start.end()
    while position < len(text):
        match = _RESULT.match(text, position)
        if match is None or len(results) == MAX_RESULTS:
            return None
        properties = _COMMENTS.sub("", match["properties"])
        if len(properties.split()) > MAX_PROPERTIES:
            return None
        results.append((match["method"], match["result"], properties))
        position = match.end()
    return results


def _report(authserv_id: str, properties: str) -> Iterator[_Report]:
    # authres takes as long for each property as all else here together.
    needed = [each for each in _PROPERTIES.findall(properties) if each.startswith(_NEEDED)]
    text = f"Authentication-Results: {authserv_id}; dkim=pass {' '.join(needed)}"
    try:
        (result,) = authres.AuthenticationResultsHeader.parse(text).results
    except (authres.AuthResError, ValueError):
        return  # what cannot be parsed reports nothing
    found = _header_properties(result)
    domain = signature_domain(found)
    selector, algorithm = found.get("s", ""), found.get("a", "").lower()
    if domain is not None and is_plain({"s": "none", "a": "none"} | found):
        yield _Report(authserv_id, domain, selector, algorithm)


def _header_properties(result: Any) -> dict[str, str]:
    """The header.* of a result; empty if one of them has two values: which one was meant?"""
    found: dict[str, str] = {}
    for item in result.properties:
        if item.type == "header":
            if item.name in found:
                return {}
            found[item.name] = item.value or ""
    return found


def _checked(report: _Report, message: Message, lookup: Lookup, now: float) -> CheckedSignature:
    """What receivers will say of a reported signature, which may be one that they do not see."""

    def say(result: DkimResult, explanation: str) -> CheckedSignature:
        return CheckedSignature(
            report.domain, report.selector, Source.UPSTREAM, result, explanation
        )

    if report.algorithm not in {"", SAFE_ALGORITHM}:
        return say(DkimResult.POLICY, "not every receiver accepts its algorithm")
    fields = message.fields(DKIM_SIGNATURE)
    if not fields:
        return say(DkimResult.PASS, "a trusted verifier says pass")
    meant = [index for index, field in enumerate(fields) if _is_of(field, report)]
    if not meant or meant[-1] >= MAX_SIGNATURES:
        return say(DkimResult.POLICY, "not every receiver looks at the signature")
    for index in meant:
        signature = read_signature(fields[index], message, now, is_whole=False)
        if isinstance(signature, SignatureProblem):
            return say(DkimResult.POLICY, "not every receiver accepts the signature")
        key = usable_key(signature, lookup)
        if isinstance(key, KeyProblem):
            return say(key.result, key.explanation)
    return say(DkimResult.PASS, "a trusted verifier says pass")


def _is_of(field: HeaderField, report: _Report) -> bool:
    tags = signature_tags(field)
    return signature_domain(tags) == report.domain and report.selector in {"", tags.get("s")}
