"""Checks DKIM signatures: those on a message, and those that the signer behind alignd will add.

A result is PASS only if every receiver will agree. dkimpy verifies the header; `dkim_signature`,
`dkim_key` and `dkim_body` see to it that others come to the same result, and that it is given
nothing that takes it long. A message that passes by DKIM must not change afterwards.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import dkim

from alignd.mail.domain import Domain
from alignd.mail.line_length import MAX_LINE, has_long_line
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dkim_body import CanonicalBody
from alignd.mailauth.dkim_key import (
    SAFE_ALGORITHM,
    DkimResult,
    KeyProblem,
    PublicKey,
    find_key,
)
from alignd.mailauth.dkim_signature import (
    MAX_SIGNATURES,
    Signature,
    SignatureProblem,
    hides_all_signatures,
    read_signature,
    signature_domain,
    signature_tags,
)
from alignd.mailauth.dns import Lookup

MAX_HEADER = 65_536
"""Octets of a header: OpenDKIM refuses a message with more (MaximumHeaders)."""
_BREAKS = f"a line is longer than {MAX_LINE} octets: Postfix breaks it on the way out"
_BROKEN = f"a line was longer than {MAX_LINE} octets: a Postfix has broken it after the verifier"
_HIDDEN = "beside a malformed DKIM-Signature field, OpenDKIM verifies none"
# White space to one verifier, and a character to another. A CR ends a line to some.
_ODD_BLANKS = re.compile(rb"[\r\v\f]")
_NO_BREAK_SPACE = b"\xa0"


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


def hidden_by_a_malformed_field(checked: CheckedSignature) -> CheckedSignature:
    """What becomes of a signature beside a DKIM-Signature field that `hides_all_signatures`."""
    return _unless_failed(checked, _HIDDEN)


def _unless_failed(checked: CheckedSignature, explanation: str) -> CheckedSignature:
    if checked.result not in {DkimResult.PASS, DkimResult.TEMPERROR}:
        return checked
    return replace(checked, result=DkimResult.POLICY, explanation=explanation)


def verify_signatures(
    message: Message, lookup: Lookup, now: float, *, has_arrived: bool = False
) -> tuple[CheckedSignature, ...]:
    """Verify the topmost signatures on *message*, whose header is complete; *now* is Unix time.

    The results are those of its next receiver, or where it *has_arrived*, of this one: smtp(8)
    may break a line on the way between them.
    """
    body = None if message.body is None else CanonicalBody(message.body)
    obstacle = _obstacle(message)
    results = []
    for field in message.fields("DKIM-Signature")[:MAX_SIGNATURES]:
        signature = obstacle or read_signature(field, message, now)
        if isinstance(signature, SignatureProblem):
            problem = signature
        else:
            problem = _verify(message, field, signature, body, lookup, has_arrived=has_arrived)
        tags = signature_tags(field)
        results.append(
            CheckedSignature(
                signature_domain(tags),
                tags.get("s", ""),
                Source.MESSAGE,
                problem.result,
                problem.explanation,
            )
        )
    return tuple(results)


def _obstacle(message: Message) -> SignatureProblem | None:
    """What keeps receivers from verifying any signature of *message*."""
    if sum(len(each.name) + len(each.value) + 4 for each in message.header) > MAX_HEADER:
        return SignatureProblem(DkimResult.POLICY, f"the header is over {MAX_HEADER} octets")
    if hides_all_signatures(message):
        return SignatureProblem(DkimResult.POLICY, _HIDDEN)
    return None


def _verify(
    message: Message,
    field: HeaderField,
    signature: Signature,
    body: CanonicalBody | None,
    lookup: Lookup,
    *,
    has_arrived: bool,
) -> SignatureProblem:
    """Verify one signature; a problem with the result PASS is none."""
    signed = _signed_fields(message, signature)
    problem = (
        (_BREAKS if not has_arrived and _breaks(body, (*signed, field)) else "")
        or _header_problem(signature, (*signed, field))
        or _body_problem(body, signature)
    )
    if problem:
        return SignatureProblem(DkimResult.POLICY, problem)
    key = usable_key(signature, lookup)
    if isinstance(key, KeyProblem):
        return SignatureProblem(key.result, key.explanation)
    if body is None or body.digest(relaxed=signature.relaxed_body) != signature.body_hash:
        return SignatureProblem(DkimResult.FAIL, "the body is not what was signed")
    if not _number_fits(signature.signature, key.modulus):
        return SignatureProblem(DkimResult.FAIL, "b= has not the length of the key")
    return _header_holds(signed, field, signature, key)


def usable_key(signature: Signature, lookup: Lookup) -> PublicKey | KeyProblem:
    """Look up the key of *signature*, and check that it may be used for its i=."""
    key = find_key(signature.domain, signature.selector, lookup)
    if isinstance(key, KeyProblem):
        return key
    problem = _identity_problem(signature.identity, signature.domain, key)
    return KeyProblem(DkimResult.PERMERROR, problem) if problem else key


def _signed_fields(message: Message, signature: Signature) -> tuple[HeaderField, ...]:
    """The fields that h= names, each as often as it does, from below (section 5.4.2)."""
    left = Counter(signature.names)
    signed = []
    for field in reversed(message.header):
        name = field.name.lower()
        if left[name]:
            left[name] -= 1
            signed.append(field)
    return tuple(reversed(signed))


def _breaks(body: CanonicalBody | None, fields: tuple[HeaderField, ...]) -> bool:
    """Whether smtp(8) will break a line of the body, or of *fields*."""
    return (body is not None and body.has_long_line) or any(
        has_long_line(each.name, each.blank + each.value) for each in fields
    )


def _header_problem(signature: Signature, fields: tuple[HeaderField, ...]) -> str:
    """What keeps receivers from agreeing about signed *fields*."""
    for field in fields:
        text = field.unfolded
        if _ODD_BLANKS.search(text):
            return f"a bare CR, a form feed or a vertical tab is in {field.name}"
        bare = text.strip(b" \t")
        if signature.relaxed_header and (
            bare.startswith(_NO_BREAK_SPACE) or bare.endswith(_NO_BREAK_SPACE)
        ):
            # The last octet of some UTF-8 letters too.
            return f"{field.name} ends in an octet that mailauth takes for white space"
    return ""


def _body_problem(body: CanonicalBody | None, signature: Signature) -> str:
    if body is None:
        return "the body was not seen"
    relaxed = signature.relaxed_body
    if problem := body.problem(relaxed=relaxed):
        return problem
    # OpenDKIM fails an l= above the length.
    if signature.length is not None and signature.length != len(body.form(relaxed=relaxed)):
        return "it does not cover exactly the body (l=)"
    return ""


def _number_fits(signature: bytes, modulus: int) -> bool:
    """Whether b= is as RFC 8017, section 8.2.2, wants it; dkimpy does not look."""
    is_as_long = len(signature) == (modulus.bit_length() + 7) // 8
    return is_as_long and int.from_bytes(signature, "big") < modulus


def _header_holds(
    signed: tuple[HeaderField, ...], field: HeaderField, signature: Signature, key: PublicKey
) -> SignatureProblem:
    # dkimpy is given what is signed alone, and no bh=: the body is dealt with.
    verifier = dkim.DKIM(b"".join(each.line for each in signed) + b"\r\n")
    tags = {
        name.encode(): value.encode()
        for name, value in signature_tags(field).items()
        if name not in {"bh", "l"}
    }
    names = [name.encode() for name in signature.names]
    line = (field.name.encode(), field.line.partition(b":")[2])
    try:
        holds = verifier.verify_sig(tags, names, line, lambda *_, **__: key.text)
    except Exception as error:  # a signature that breaks the verifier does not pass
        return SignatureProblem(DkimResult.PERMERROR, str(error) or type(error).__name__)
    if holds:
        return SignatureProblem(DkimResult.PASS, "it verifies")
    return SignatureProblem(DkimResult.FAIL, "it does not verify")


def _identity_problem(identity: Domain, domain: Domain, key: PublicKey) -> str:
    if not identity.is_within(domain):
        return "i= is not within d="  # RFC 6376, section 3.5
    if key.identity_must_be_domain and identity != domain:
        return "the key is for the domain itself (t=s), i= is below it"
    return ""
