"""Reads Authentication-Results (RFC 8601) of upstream verifiers that the operator trusts.

Only DKIM is read: the SPF and DMARC results of a verifier before alignd are about another client
address than this relay's.
"""

from __future__ import annotations

from typing import Any

import authres

from alignd.mail.domain import Domain
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dkim import CheckedSignature, Source, signature_domain, signature_tags
from alignd.mailauth.dkim_key import SAFE_ALGORITHM, DkimResult

MAX_LENGTH = 8192
"""Octets of the longest field that is read."""
_MAX_NESTING = 50

UPSTREAM_FIELDS = frozenset({"authentication-results", "dkim-signature"})
"""The names of the fields that are read, in lower case."""


def read_upstream(
    message: Message, trusted_authserv_ids: tuple[str, ...]
) -> tuple[CheckedSignature, ...]:
    """Read the DKIM passes that verifiers with a trusted authserv-id report in *message*."""
    trusted = {authserv_id.lower() for authserv_id in trusted_authserv_ids}
    if not trusted:
        return ()
    signed = _algorithms(message)
    return tuple(
        dkim
        for field in message.fields("Authentication-Results")
        for result in _results(field, trusted)
        if (dkim := _dkim(result, signed)) is not None
    )


def _results(field: HeaderField, trusted: set[str]) -> list[Any]:
    text = field.unfolded.decode("ascii", errors="replace").strip()
    # authres parses nested comments by recursion, and the sender decides how deep they nest.
    if len(text) > MAX_LENGTH or text.count("(") > _MAX_NESTING:
        return []
    try:
        header = authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {text}")
    except Exception:  # a field that cannot be parsed reports nothing
        return []
    # The whole authserv-id is compared (RFC 8601, section 2.5). A field of another version
    # (section 2.2) raises above.
    return list(header.results) if header.authserv_id in trusted else []


def _dkim(result: Any, signed: dict[Domain, set[str]]) -> CheckedSignature | None:
    if result.method.lower() != "dkim" or (result.result or "").lower() != "pass":
        return None
    found: dict[str, str] = {}
    for item in result.properties:
        if item.type.lower() == "header":
            name = item.name.lower()
            if name in found:  # two values: it is unknown which one was meant
                return None
            found[name] = item.value
    domain = signature_domain(found)
    if domain is None:
        return None
    algorithm = found.get("a", "").lower()
    # Where the verifier reports no algorithm, the signatures of the domain on the message tell it.
    algorithms = {algorithm} if algorithm else signed.get(domain, {SAFE_ALGORITHM})
    accepted = SAFE_ALGORITHM in algorithms
    return CheckedSignature(
        domain,
        found.get("s", ""),
        Source.UPSTREAM,
        DkimResult.PASS if accepted else DkimResult.POLICY,
        "a trusted verifier says pass" if accepted else "not every receiver accepts its algorithm",
    )


def _algorithms(message: Message) -> dict[Domain, set[str]]:
    """Collect the algorithms of the signatures on the message, by domain."""
    found: dict[Domain, set[str]] = {}
    for field in message.fields("DKIM-Signature"):
        tags = signature_tags(field)
        if (domain := signature_domain(tags)) is not None:
            found.setdefault(domain, set()).add(tags.get("a", ""))
    return found
