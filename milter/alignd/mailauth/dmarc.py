"""The parts of DMARC that RFC 7489 and RFC 9989 share: records, policies, and alignment.

They differ in where a policy is found and what an organizational domain is: see the modules
`rfc7489` and `rfc9989`, each of which has a `Model`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at
from alignd.mailauth.ternary import Ternary

# RFC 9989, section 4.8: the version comes first and its value is case-sensitive.
_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(;|$)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s!,;]+(![0-9]+[kmgt]?)?", re.IGNORECASE)


class Policy(Enum):
    """The policy that the owner of the author domain publishes.

    ABSENT means that there is none that could be applied, UNKNOWN that DNS gave no answer.
    """

    REJECT = "reject"
    QUARANTINE = "quarantine"
    NONE = "none"
    ABSENT = "absent"
    UNKNOWN = "unknown"


_POLICIES = {"reject": Policy.REJECT, "quarantine": Policy.QUARANTINE, "none": Policy.NONE}
_STRICTNESS = {
    Policy.REJECT: 4,
    Policy.UNKNOWN: 3,  # perhaps reject, so that only reject itself is stricter
    Policy.QUARANTINE: 2,
    Policy.NONE: 1,
    Policy.ABSENT: 0,
}


class AlignmentMode(Enum):
    """The values of adkim and aspf, RFC 9989, section 4.7."""

    RELAXED = "r"
    STRICT = "s"


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A DMARC policy record. A missing tag, or one with a bad value, has its default."""

    policy: Policy
    """p. NONE where p is missing or bad, and a report address makes the record usable."""
    subdomain_policy: Policy
    """sp, else p."""
    nonexistent_policy: Policy
    """np, else sp, else p."""
    dkim_alignment: AlignmentMode
    spf_alignment: AlignmentMode

    @classmethod
    def from_tags(cls, tags: dict[str, str]) -> DmarcRecord:
        """Read the tags of a record; its policies are ABSENT when none of them could be applied.

        `pct` and `t` are ignored. Not every receiver knows them, and even in test mode the owner
        asks for what the policy says: t=y invites rewriting From (RFC 9989, section 4.7).
        """
        policy = _POLICIES.get(tags.get("p", "").lower())
        inherited = [_POLICIES.get(tags[name].lower()) for name in ("sp", "np") if name in tags]
        if policy is None or None in inherited:
            # RFC 9989, section 4.10.1, and RFC 7489, section 6.6.3, step 6: with a valid report
            # address the record counts as p=none, without one as no record.
            reports = any(_URI.fullmatch(uri.strip()) for uri in tags.get("rua", "").split(","))
            policy = subdomain = nonexistent = Policy.NONE if reports else Policy.ABSENT
        else:
            subdomain = _POLICIES[tags["sp"].lower()] if "sp" in tags else policy
            nonexistent = _POLICIES[tags["np"].lower()] if "np" in tags else subdomain
        return cls(
            policy=policy,
            subdomain_policy=subdomain,
            nonexistent_policy=nonexistent,
            dkim_alignment=_alignment(tags.get("adkim", "r")),
            spf_alignment=_alignment(tags.get("aspf", "r")),
        )


@dataclass(frozen=True, slots=True)
class Discovery:
    """The policy of an author domain as one RFC finds it."""

    policy: Policy
    record_domain: Domain | None
    """The domain that publishes the policy, without `_dmarc`; None when there is no policy."""
    organizational_domain: Domain | LookupFailed
    record: DmarcRecord | None
    """None when there is none, or DNS gave no answer. Where the policy of a record is ABSENT, its
    alignment modes are used all the same: the owner asked for them, and stricter is safer."""


class Model(Protocol):
    """One RFC's way to find the policy and the organizational domain."""

    def discover(self, author_domain: Domain) -> Discovery:
        """Find the policy that applies to *author_domain*."""
        ...

    def organizational_domain(self, domain: Domain) -> Domain | LookupFailed:
        """Find the organizational domain of *domain*."""
        ...


def stricter(one: Policy, other: Policy) -> Policy:
    """Choose the policy that is harder on a message that fails; only reject exceeds UNKNOWN."""
    return max(one, other, key=_STRICTNESS.__getitem__)


def aligned(
    identifier: Domain, author_domain: Domain, mode: AlignmentMode, model: Model
) -> Ternary:
    """Whether *identifier* aligns with *author_domain*, RFC 9989, section 4.4."""
    if identifier == author_domain:
        return Ternary.YES
    if mode is AlignmentMode.STRICT:
        return Ternary.NO
    # Each domain needs a search of its own: the answer for one says nothing of the other.
    organization = model.organizational_domain(author_domain)
    if isinstance(organization, LookupFailed):
        return Ternary.UNKNOWN
    if not identifier.is_within(organization):
        return Ternary.NO
    other = model.organizational_domain(identifier)
    if isinstance(other, LookupFailed):
        return Ternary.UNKNOWN
    return Ternary.YES if other == organization else Ternary.NO


def record_name(domain: Domain) -> str:
    """The name of the DMARC record of *domain*, RFC 9989, section 4.5."""
    return f"_dmarc.{domain}"


def records_at(domain: Domain, lookup: Lookup) -> tuple[dict[str, str], ...] | LookupFailed:
    """Look up the DMARC records of *domain* as tags, RFC 9989, section 4.10, steps 2 and 6."""
    texts = texts_at(record_name(domain), lookup)
    if isinstance(texts, LookupFailed):
        return texts
    return tuple(tags for text in texts if (tags := _tags(text.decode("latin-1"))) is not None)


def _tags(text: str) -> dict[str, str] | None:
    if not _VERSION.match(text):
        return None
    tags = {}
    for tag in text.split(";"):
        name, equals, value = tag.partition("=")
        if equals:
            # Most receivers ignore the case of a name, and take the last of two tags.
            tags[name.strip(" \t").lower()] = value.strip(" \t")
    return tags


def _alignment(value: str) -> AlignmentMode:
    return AlignmentMode.STRICT if value.lower() == "s" else AlignmentMode.RELAXED
