"""The parts of DMARC that RFC 7489 and RFC 9989 share: records, policies, and alignment.

They differ in where a policy is found and what an organizational domain is: see the modules
`rfc7489` and `rfc9989`, each of which has a `Model`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from typing import Protocol

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at
from alignd.mailauth.ternary import Ternary

MAX_RECORD = 4096
"""Octets of a record; see `spf_reading.MAX_RECORD`. Nobody can say what receivers make of a larger
one, so that it counts as the strictest there is."""
MAX_TAGS = 64
"""Tags of a record. The RFCs know twelve."""
MAX_RECORDS = 10
"""Records at one name that are read; several are a mistake already."""
MAX_TEXTS = 500
"""TXT records of one answer. With more of them its DMARC records are unknown."""

# RFC 9989, section 4.8: the version comes first and its value is case-sensitive.
_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(;|$)")
# OpenDMARC 1.4.2 takes every text with "v=DMARC" in it, rspamd 3.4 ends the version at a blank or
# a backslash, mailauth 4 skips blanks in front and ignores case.
_RESEMBLANCE = re.compile(r"v\s*=\s*dmarc", re.IGNORECASE)
# rspamd 3.4 ends a tag at a blank or a backslash too, Mail::DMARC takes a colon for "=".
_SHORT_TAG = re.compile(r"(?:^|(?<=[;\s\\]))([a-z]+)\s*[=:]\s*([^;\s\\]*)", re.IGNORECASE)


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


class Reading(Enum):
    """Which TXT records count for DMARC records."""

    EXACT = "what the RFCs take; several are none"
    LENIENT = "what some receiver takes; several are one that asks for all that they ask for"


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a record, in every way that a receiver takes it apart."""

    pairs: tuple[tuple[str, str], ...]
    """Names in lower case, and values without blanks. A name may stand more than once."""
    is_absurd: bool = False
    """Whether the record is so large that it was not taken apart."""

    @classmethod
    def parse(cls, text: str) -> Tags:
        """Take the text of a record apart."""
        if len(text) > MAX_RECORD or text.count("=") + text.count(":") > MAX_TAGS:
            return cls((), is_absurd=True)
        long = (tag.partition("=") for tag in text.split(";") if "=" in tag)
        pairs = [(name, value) for name, _, value in long] + _SHORT_TAG.findall(text)
        return cls(tuple({(_joined(name).lower(), _joined(value)): None for name, value in pairs}))

    def values(self, name: str) -> list[str]:
        """All values of a tag, in lower case."""
        return [value.lower() for each, value in self.pairs if each == name]


def merged(several: Sequence[Tags]) -> Tags:
    """Make one of several records, which asks for all that they ask for.

    Of a tag that stands twice the first comes last, so that `psd`, of which the last counts, is
    another than read exactly.
    """
    pairs = [pair for tags in several for pair in tags.pairs]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        pairs.reverse()
    return Tags(tuple(pairs), any(tags.is_absurd for tags in several))


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A DMARC policy record: of each tag the strictest that any receiver makes of it."""

    policy: Policy
    """p. NONE where it is missing or bad."""
    subdomain_policy: Policy
    """sp, else p."""
    nonexistent_policy: Policy
    """np, else sp, else p."""
    dkim_alignment: AlignmentMode
    spf_alignment: AlignmentMode

    @classmethod
    def from_tags(cls, tags: Tags) -> DmarcRecord:
        """Read the tags of a record.

        `pct` and `t` are ignored. Not every receiver knows them, and even in test mode the owner
        asks for what the policy says: t=y invites rewriting From (RFC 9989, section 4.7).
        """
        if tags.is_absurd:
            strict = AlignmentMode.STRICT
            return cls(Policy.REJECT, Policy.REJECT, Policy.REJECT, strict, strict)
        # RFC 9989, section 4.10.1, asks for a report address before a record without a policy
        # counts as p=none; rspamd 3.4 does not.
        policy = _policy(tags.values("p"), Policy.NONE)
        subdomain = _policy(tags.values("sp"), policy)
        aspf = tags.values("aspf")
        if not aspf and _asks_for_iodef(tags):
            aspf = ["s"]
        return cls(
            policy=policy,
            subdomain_policy=subdomain,
            nonexistent_policy=_policy(tags.values("np"), subdomain),
            dkim_alignment=_alignment(tags.values("adkim")),
            spf_alignment=_alignment(aspf),
        )


@dataclass(frozen=True, slots=True)
class Discovery:
    """The policy of an author domain as one RFC finds it."""

    policy: Policy
    record_domain: Domain | None
    """The domain that publishes the policy, without `_dmarc`; None when there is no policy."""
    organizational_domain: Domain | LookupFailed
    record: DmarcRecord | None
    """None when there is none, or DNS gave no answer."""


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


def policy_texts(texts: Sequence[bytes]) -> tuple[bytes, ...]:
    """Those of *texts* that are DMARC records, RFC 9989, section 4.10, step 2."""
    return tuple(text for text in texts if _VERSION.match(_decoded(text)))


class DmarcRecords:
    """The DMARC records of one judgement: each name is looked up, and each record read, once."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.readings: tuple[Reading, ...] = (Reading.EXACT,)
        """Those under which different records were found; all that was found is read exactly."""
        self._found: dict[Domain, dict[Reading, tuple[Tags, ...]] | LookupFailed] = {}

    def at(self, domain: Domain, reading: Reading) -> tuple[Tags, ...] | LookupFailed:
        """Look up the records of *domain*, RFC 9989, section 4.10, steps 2 and 6."""
        found = self._found.get(domain)
        if found is None:
            found = self._found[domain] = _read(texts_at(record_name(domain), self.lookup))
            if isinstance(found, dict) and found[Reading.EXACT] != found[Reading.LENIENT]:
                self.readings = tuple(Reading)
        return found if isinstance(found, LookupFailed) else found[reading]


def _read(
    texts: tuple[bytes, ...] | LookupFailed,
) -> dict[Reading, tuple[Tags, ...]] | LookupFailed:
    if isinstance(texts, LookupFailed):
        return texts
    if len(texts) > MAX_TEXTS:
        return LookupFailed(f"more than {MAX_TEXTS} TXT records")
    found = [text for text in map(_decoded, texts) if _RESEMBLANCE.search(text)]
    if not found:
        return {Reading.EXACT: (), Reading.LENIENT: ()}
    # Two are as good as more of them, and more of them are not worth the time to read them.
    exact = [text for text in found if _VERSION.match(text)][:2]
    lenient = merged(list(map(Tags.parse, found[:MAX_RECORDS])))
    if len(found) > MAX_RECORDS:
        lenient = Tags((), is_absurd=True)
    return {Reading.EXACT: tuple(map(Tags.parse, exact)), Reading.LENIENT: (lenient,)}


def _joined(text: str) -> str:
    # OpenDMARC removes all blanks, also those inside a word.
    return "".join(text.split())


def _decoded(text: bytes) -> str:
    return text.decode("latin-1")


def _policy(values: list[str], otherwise: Policy) -> Policy:
    """The strictest that *values* can mean, or *otherwise* unless there is one and it is good."""
    if len(values) == 1 and values[0] in _POLICIES:
        return _POLICIES[values[0]]
    meant = (_guessed(value) for value in values)
    return reduce(stricter, (policy for policy in meant if policy is not None), otherwise)


def _guessed(value: str) -> Policy | None:
    # OpenDMARC takes every beginning of a word, "r" and "rej" among them.
    letters = "".join(filter(str.isalpha, value))
    words = (word for word in _POLICIES if letters and word.startswith(letters[: len(word)]))
    return next((_POLICIES[word] for word in words), None)


def _alignment(values: list[str]) -> AlignmentMode:
    # Of other values each receiver makes something else: OpenDMARC takes every beginning of
    # "strict" for strict, rspamd refuses the record.
    return AlignmentMode.RELAXED if set(values) <= {"r"} else AlignmentMode.STRICT


def _asks_for_iodef(tags: Tags) -> bool:
    """Whether rf asks for a format that OpenDMARC 1.4.2 notes down in aspf, by mistake."""
    formats = (each for value in tags.values("rf") for each in value.split(","))
    return any(each and "iodef".startswith(each) for each in formats)
