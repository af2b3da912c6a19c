"""Makes SPF records that may authorise the relay, from the record that a domain publishes.

They are candidates: `alternatives` evaluates each of them before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alignd.advice.publication import Kind, Publication
from alignd.advice.spf_repair import repair_records
from alignd.advice.wildcard import wildcard_of
from alignd.judgement.prediction import Prediction
from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType
from alignd.mailauth.spf_record import (
    SpfRecord,
    find_records,
    find_resembling,
    mechanism_for,
)

NEUTRAL_END = "?all"
"""The end of a new record. To all other mail it means the same as no record (RFC 7208, section
2.6.2), so that publishing it makes no mail fail."""

_MAX_TERMS, _MAX_TERM = 10, 80  # invalid terms, and characters of each, in a note


@dataclass(frozen=True, slots=True)
class Published:
    """The TXT records of a domain, and the SPF record among them."""

    domain: Domain
    others: tuple[bytes, ...]
    """The TXT records that are not SPF."""
    replaced: tuple[bytes, ...]
    """The records that a new record replaces."""
    record: SpfRecord | None
    """Their valid terms in one record; None when there is no SPF record."""
    dropped: tuple[str, ...] = ()
    """Their terms that are left out."""
    doubtful: tuple[str, ...] = ()
    """What of them may mean two things."""
    is_softened: bool = False
    """Whether `-all` has become `~all`, because of what is left out."""
    alias_of: str = ""
    """The target of a CNAME at the domain; empty when there is none."""
    wildcard: str = ""
    """The wildcard that the records come from, such as "*.example"; empty when there is none."""

    @property
    def obstacle(self) -> str:
        """Why nobody but the owner can repair the record; empty where that is not so."""
        if not self.doubtful:
            return ""
        return (
            f"the SPF record of {self.domain} may mean two things, and a wrong guess would let "
            f"strangers pass or refuse its senders; its owner mends it first: "
            f"{_shown(self.doubtful)}"
        )

    @property
    def notes(self) -> Iterator[str]:
        """Describe the repair for the domain owner."""
        if len(self.replaced) > 1:
            yield (
                f"{self.domain} has {len(self.replaced)} SPF records, which is an error to "
                "receivers: this one has the terms of all of them"
            )
        if self.wildcard:
            yield (
                f"{self.domain} has its records from {self.wildcard}: a record of its own would "
                "take the others of the wildcard away from it"
            )
        if self.record is None:
            yield (
                f"'{NEUTRAL_END}' leaves all other mail of {self.domain} as it is now; make it "
                "'~all' once the record names every sender"
            )
        if self.dropped:
            yield f"not valid in SPF, and left out: {_shown(self.dropped)}"
        if self.is_softened:
            yield (
                "it ends in '~all', so that nobody is refused for what is left out; '-all' can "
                "come back once the record names every sender"
            )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that may authorise the relay; not yet evaluated."""

    record: SpfRecord
    notes: tuple[str, ...] = ()

    def publication(self, published: Published) -> Publication:
        """Make the publication of the record at the domain of *published*."""
        return Publication(
            published.wildcard or published.domain.name,
            published.domain,
            Kind.TXT,
            self.record.text,
            published.replaced,
            published.others,
        )


def read_published(domain: Domain, lookup: Lookup) -> Published | LookupFailed:
    """Look up and repair the SPF record of *domain*, however broken."""
    answer = lookup.look_up(domain.name, RecordType.TXT)
    if isinstance(answer, LookupFailed):
        return answer
    wildcard = wildcard_of(domain, lookup)
    if isinstance(wildcard, LookupFailed):
        return wildcard
    # Nameservers rotate the records of an answer; the advice must not change with them.
    texts = sorted(answer.texts)
    replaced = find_records(texts) or find_resembling(texts)
    repaired = repair_records(replaced, domain)
    return Published(
        domain=domain,
        others=tuple(text for text in texts if text not in replaced),
        replaced=replaced,
        record=repaired.record if replaced else None,
        dropped=repaired.dropped,
        doubtful=repaired.doubtful,
        is_softened=repaired.is_softened,
        alias_of=answer.alias_of,
        wildcard=wildcard,
    )


def with_include(published: Published, include: Domain) -> Iterator[Candidate]:
    """Make the records that include *include*, best first."""
    yield from _with(published, (f"include:{include}",))


def with_addresses(published: Published, prediction: Prediction) -> Iterator[Candidate]:
    """Make the records that list every relay address; none unless some address is listed now."""
    listed = [spf for spf in prediction.spf if spf.counts and _is_network(spf.explanation)]
    lacking = [spf.address for spf in prediction.spf if not spf.counts]
    if listed and lacking:
        yield from _with(published, tuple(map(mechanism_for, lacking)))


def _with(published: Published, mechanisms: tuple[str, ...]) -> Iterator[Candidate]:
    record = published.record
    if record is None:
        end = SpfRecord(()).with_mechanisms([NEUTRAL_END])
        yield Candidate(end.with_mechanisms(mechanisms))
        return
    if published.dropped or len(published.replaced) > 1:
        yield Candidate(record)  # the repair alone may be enough
    yield Candidate(record.with_mechanisms(mechanisms))
    yield Candidate(
        record.with_mechanisms(mechanisms, first=True),
        (
            f"{mechanisms[0]} stands in front: further behind, another term would decide on "
            "this relay's mail before it, or make an error of it",
        ),
    )


def _is_network(mechanism: str) -> bool:
    return mechanism.lower().lstrip("+").startswith(("ip4:", "ip6:"))


def _shown(terms: tuple[str, ...]) -> str:
    more = len(terms) - _MAX_TERMS
    rest = f"  and {more} more" if more > 0 else ""
    return "  ".join(term[:_MAX_TERM] for term in terms[:_MAX_TERMS]) + rest
