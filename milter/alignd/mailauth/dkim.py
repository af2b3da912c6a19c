"""Checks DKIM signatures: those on a message, and those that the signer behind alignd will add.

A result is PASS only if every receiver will agree. dkimpy verifies; this module adds the checks
that RFC 6376 leaves to the receiver. A message that passes by DKIM must not change afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import dkim
from dkim.canonicalization import CanonicalizationPolicy, InvalidCanonicalizationPolicyError

from alignd.mail.domain import Domain, DomainError
from alignd.mail.line_length import MAX_LINE, BodyLines, has_long_line
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dkim_key import (
    SAFE_ALGORITHM,
    DkimResult,
    KeyProblem,
    PublicKey,
    find_key,
    parse_tags,
)
from alignd.mailauth.dns import Lookup

MAX_SIGNATURES = 16
"""Signatures of one message that are verified, topmost first; each costs a DNS lookup."""
EXPIRY_MARGIN = 3600
"""Seconds before a signature expires (x=) in which it no longer counts: mail waits in queues."""
CLOCK_MARGIN = 300
"""Seconds that a signature may be dated in the future (t=): clocks differ."""
_BREAKS = f"a line is longer than {MAX_LINE} octets: Postfix breaks it on the way out"
_BROKEN = f"a line was longer than {MAX_LINE} octets: a Postfix has broken it after the verifier"


class Source(Enum):
    """The origin of the result of a signature."""

    MESSAGE = "message"
    UPSTREAM = "authentication-results"
    SIGNER = "signer"


@dataclass(frozen=True, slots=True)
class CheckedSignature:
    """A signature, and the result that receivers will come to."""

    domain: Domain | None
    """d=; None when it is not a domain name."""
    selector: str
    source: Source
    result: DkimResult
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class PlannedSignature:
    """A signature that the signer behind alignd will add."""

    domain: Domain
    selector: str
    algorithm: str = SAFE_ALGORITHM
    identity_domain: Domain | None = None
    """The domain of i=; None when there is no i=, which means d= itself."""
    modulus: int | None = None
    """The modulus of the private key; None when alignd cannot read the key."""
    obstacle: str = ""
    """Why the signer will not make it after all; empty when it will."""


class Signer(Protocol):
    """The DKIM signer that sees a message after alignd."""

    def signatures_for(
        self, author: Mailbox, message: Message | None = None
    ) -> tuple[PlannedSignature, ...]:
        """Predict the signatures that *message* of *author* will get, or should have got.

        Without a message: one whose client the signer signs for.
        """
        ...


def check_planned(planned: PlannedSignature, lookup: Lookup) -> CheckedSignature:
    """Predict whether *planned* will verify, which depends on the published key."""

    def say(result: DkimResult, explanation: str) -> CheckedSignature:
        return CheckedSignature(
            planned.domain, planned.selector, Source.SIGNER, result, explanation
        )

    if planned.obstacle:
        return say(DkimResult.NONE, planned.obstacle)
    if planned.algorithm != SAFE_ALGORITHM:
        return say(DkimResult.POLICY, f"not every receiver accepts {planned.algorithm}")
    key = find_key(planned.domain, planned.selector, lookup)
    if isinstance(key, KeyProblem):
        return say(key.result, key.explanation)
    if planned.modulus is not None and planned.modulus != key.modulus:
        return say(DkimResult.FAIL, "the published key is not that of the private key")
    identity = planned.identity_domain or planned.domain
    if problem := _identity_problem(identity, planned.domain, key):
        return say(DkimResult.PERMERROR, problem)
    return say(DkimResult.PASS, "the published key fits the signer's")


def broken_on_the_way(checked: CheckedSignature) -> CheckedSignature:
    """What becomes of a signature on a message of which smtp(8) will break a line.

    Which fields it covers is not known, and most signers cover all that people write.
    """
    return _unless_failed(checked, _BREAKS)


def broken_before(checked: CheckedSignature) -> CheckedSignature:
    """What became of a signature that a verifier saw before smtp(8) broke a line."""
    return _unless_failed(checked, _BROKEN)


def _unless_failed(checked: CheckedSignature, explanation: str) -> CheckedSignature:
    if checked.result not in {DkimResult.PASS, DkimResult.TEMPERROR}:
        return checked
    return replace(checked, result=DkimResult.POLICY, explanation=explanation)


def verify_signatures(
    message: Message, lookup: Lookup, now: float
) -> tuple[CheckedSignature, ...]:
    """Verify the signatures on *message*, whose header is complete; *now* is a Unix time."""
    fields = message.fields("DKIM-Signature")[:MAX_SIGNATURES]
    results = []
    for index, field in enumerate(fields):
        tags = signature_tags(field)
        if _breaks(message, field, tags):
            result, explanation = DkimResult.POLICY, _BREAKS
        else:
            result, explanation = _verify_one(message, index, tags, lookup, now)
        selector = tags.get("s", "")
        results.append(
            CheckedSignature(signature_domain(tags), selector, Source.MESSAGE, result, explanation)
        )
    return tuple(results)


def signature_tags(field: HeaderField) -> dict[str, str]:
    """Parse the tags of a DKIM-Signature *field*; an empty dictionary if it has no tag list."""
    return parse_tags(field.unfolded.decode("latin-1")) or {}


def signature_domain(tags: Mapping[str, str]) -> Domain | None:
    """Parse the d= of *tags*; None if it is not a domain name."""
    return _parsed(tags.get("d", ""))


def _verify_one(
    message: Message, index: int, tags: dict[str, str], lookup: Lookup, now: float
) -> tuple[DkimResult, str]:
    domain = signature_domain(tags)
    if domain is None or not tags.get("s", "").isascii():
        return DkimResult.PERMERROR, "not a signature of a domain"
    if problem := _own_problem(message, tags, now):
        return problem
    key = find_key(domain, tags["s"], lookup)
    if isinstance(key, KeyProblem):
        return key.result, key.explanation
    identity = _identity_domain(tags, domain)
    if identity is None:
        return DkimResult.PERMERROR, "i= is not an address of the domain"
    if problem_text := _identity_problem(identity, domain, key):
        return DkimResult.PERMERROR, problem_text
    return _signature_holds(message, index, key)


def _own_problem(
    message: Message, tags: dict[str, str], now: float
) -> tuple[DkimResult, str] | None:
    """Find what keeps a signature from passing everywhere, before its key is looked up."""
    if tags.get("a") != SAFE_ALGORITHM:
        return DkimResult.POLICY, f"not every receiver accepts {tags.get('a', 'no algorithm')}"
    if "from" not in _signed_fields(tags):
        return DkimResult.PERMERROR, "From is not signed"
    if not _in_time(tags, now):
        return DkimResult.POLICY, "it is from the future, or expires soon"
    return _body_problem(message.body, tags)


def _body_problem(body: bytes | None, tags: dict[str, str]) -> tuple[DkimResult, str] | None:
    if body is None:
        return DkimResult.POLICY, "the body was not seen"
    if not _covers_body(tags, body):
        return DkimResult.POLICY, "it does not cover the whole body (l=)"
    return None


def _breaks(message: Message, signature: HeaderField, tags: dict[str, str]) -> bool:
    """Whether smtp(8) will break a line that *signature* covers, or one of its own."""
    lines = BodyLines()
    lines.add(message.body or b"")
    signed = _signed_fields(tags)
    return lines.are_long or any(
        has_long_line(field.name, field.blank + field.value)
        for field in message.header
        if field is signature or field.name.lower() in signed
    )


def _signed_fields(tags: dict[str, str]) -> set[str]:
    return {name.strip().lower() for name in tags.get("h", "").split(":")}


def _in_time(tags: dict[str, str], now: float) -> bool:
    try:
        signed = int(tags.get("t", "0"))
        expires = int(tags["x"]) if "x" in tags else None
    except ValueError:
        return False
    return signed <= now + CLOCK_MARGIN and (expires is None or expires > now + EXPIRY_MARGIN)


def _covers_body(tags: dict[str, str], body: bytes) -> bool:
    if "l" not in tags:
        return True
    try:
        policy = CanonicalizationPolicy.from_c_value(tags.get("c", "simple/simple").encode())
        return int(tags["l"]) >= len(policy.canonicalize_body(body))
    except (ValueError, InvalidCanonicalizationPolicyError):
        return False


def _signature_holds(message: Message, index: int, key: PublicKey) -> tuple[DkimResult, str]:
    text = b"".join(field.line for field in message.header) + b"\r\n" + (message.body or b"")
    try:
        # dkimpy verifies the first signature, unless it is told which.
        holds = dkim.DKIM(text).verify(index, dnsfunc=lambda *_, **__: key.text)
    except Exception as error:  # a signature that breaks the verifier does not pass
        return DkimResult.PERMERROR, str(error) or type(error).__name__
    return (DkimResult.PASS, "it verifies") if holds else (DkimResult.FAIL, "it does not verify")


def _identity_domain(tags: dict[str, str], domain: Domain) -> Domain | None:
    return _parsed(tags["i"].rpartition("@")[2]) if "i" in tags else domain


def _parsed(text: str) -> Domain | None:
    try:
        return Domain.parse(text)
    except DomainError:
        return None


def _identity_problem(identity: Domain, domain: Domain, key: PublicKey) -> str:
    if not identity.is_within(domain):
        return "i= is not within d="  # RFC 6376, section 3.5
    if key.identity_must_be_domain and identity != domain:
        return "the key is for the domain itself (t=s), i= is below it"
    return ""
