"""The words of DMARC: its record, policies, alignment, and what a receiver's verdict can be.

RFC 7489 and RFC 9989 share them; where a policy is found and what an organizational domain is
differs, and stands in the modules `rfc7489` and `rfc9989`.
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
    """What the owner of the author domain asks for; UNKNOWN when DNS could not say."""

    REJECT = "reject"
    QUARANTINE = "quarantine"
    NONE = "none"
    ABSENT = "absent"
    UNKNOWN = "unknown"


_POLICIES = {"reject": Policy.REJECT, "quarantine": Policy.QUARANTINE, "none": Policy.NONE}
_STRICTNESS = {
    Policy.REJECT: 4,
    Policy.UNKNOWN: 3,  # it may be anything but less than reject
    Policy.QUARANTINE: 2,
    Policy.NONE: 1,
    Policy.ABSENT: 0,
}


class AlignmentMode(Enum):
    """adkim and aspf, RFC 9989, section 4.7."""

    RELAXED = "r"
    STRICT = "s"


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A DMARC policy record; a tag that is missing or has a bad value has its default."""

    policy: Policy
    """p; NONE where only a report address made the record usable."""
    subdomain_policy: Policy
    """sp, else p."""
    nonexistent_policy: Policy
    """np, else sp, else p."""
    dkim_alignment: AlignmentMode
    spf_alignment: AlignmentMode


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one RFC finds for an author domain."""

    policy: Policy
    record_domain: Domain | None
    """Where the policy stands, without the `_dmarc` label; None when there is none."""
    organizational_domain: Domain | LookupFailed
    record: DmarcRecord | None
    """None when there is none, or DNS could not say. A record whose policy is ABSENT cannot be
    applied; its alignment modes are still the owner's, and stricter is safer."""


class Model(Protocol):
    """One notion of organizational domain, and of where the policy stands."""

    def discover(self, author_domain: Domain) -> Discovery:
        """Find the policy that holds for *author_domain*."""
        ...

    def organizational_domain(self, domain: Domain) -> Domain | LookupFailed:
        """The organizational domain of *domain*."""
        ...


def stricter(one: Policy, other: Policy) -> Policy:
    """The one that asks more of a message that fails; UNKNOWN is only weaker than reject."""
    return max(one, other, key=_STRICTNESS.__getitem__)


def aligned(
    identifier: Domain, author_domain: Domain, mode: AlignmentMode, model: Model
) -> Ternary:
    """Whether *identifier* aligns with *author_domain*, RFC 9989, section 4.4."""
    if identifier == author_domain:
        return Ternary.YES
    if mode is AlignmentMode.STRICT:
        return Ternary.NO
    # Each by a search of its own: the answer for one says nothing of the other.
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
    """Where the record of *domain* stands, RFC 9989, section 4.5."""
    return f"_dmarc.{domain}"


def records_at(domain: Domain, lookup: Lookup) -> tuple[dict[str, str], ...] | LookupFailed:
    """The tags of every DMARC record at `_dmarc.`*domain*, RFC 9989, section 4.10, steps 2, 6."""
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
            # Most receivers fold the case and let the last duplicate win.
            tags[name.strip(" \t").lower()] = value.strip(" \t")
    return tags


def read_record(tags: dict[str, str]) -> DmarcRecord:
    """Read a record's tags; its policies are ABSENT when it says nothing that could be applied.

    `pct` and `t` are not read: not every receiver knows them, and a domain in test mode still
    wants what its policy says (RFC 9989, section 4.7, names rewriting From as what it invites).
    """
    policy = _POLICIES.get(tags.get("p", "").lower())
    inherited = [_POLICIES.get(tags[name].lower()) for name in ("sp", "np") if name in tags]
    if policy is None or None in inherited:
        # RFC 9989, section 4.10.1, and RFC 7489, section 6.6.3, step 6.
        told = any(_URI.fullmatch(uri.strip()) for uri in tags.get("rua", "").split(","))
        policy = subdomain = nonexistent = Policy.NONE if told else Policy.ABSENT
    else:
        subdomain = _POLICIES[tags["sp"].lower()] if "sp" in tags else policy
        nonexistent = _POLICIES[tags["np"].lower()] if "np" in tags else subdomain
    return DmarcRecord(
        policy=policy,
        subdomain_policy=subdomain,
        nonexistent_policy=nonexistent,
        dkim_alignment=_alignment(tags.get("adkim", "r")),
        spf_alignment=_alignment(tags.get("aspf", "r")),
    )


def _alignment(value: str) -> AlignmentMode:
    return AlignmentMode.STRICT if value.lower() == "s" else AlignmentMode.RELAXED
