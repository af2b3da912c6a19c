"""What the SPF record of a domain has to become, from what it is, to authorise the relay.

Nothing here is believed: `advice` evaluates each record before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alignd.advice.publication import Kind, Publication
from alignd.advice.wildcard import wildcard_of
from alignd.judgement.prediction import Prediction
from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType
from alignd.mailauth.spf_record import (
    SpfRecord,
    find_records,
    find_resembling,
    mechanism_for,
    merge,
    read_record,
)

NEUTRAL_END = "?all"
"""How a new record ends. For all other mail it says as much as no record does (RFC 7208, section
2.6.2), so that publishing it harms nobody."""

_MAX_TERMS, _MAX_TERM = 10, 80  # of invalid terms, and characters of one, that a note shows


@dataclass(frozen=True, slots=True)
class Published:
    """What a domain has at its name."""

    domain: Domain
    others: tuple[bytes, ...]
    """TXT records that have nothing to do with SPF."""
    replaced: tuple[bytes, ...]
    """Those that have to go when a new record comes."""
    record: SpfRecord | None
    """What is valid of them, in one; None when there are none."""
    dropped: tuple[str, ...]
    """The terms that are not valid."""
    alias_of: str = ""
    """The name that the domain is an alias of."""
    wildcard: str = ""
    """Where its records are: "*." and a name above the domain."""

    @property
    def notes(self) -> Iterator[str]:
        """What a person should know of the repair."""
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
            shown = "  ".join(term[:_MAX_TERM] for term in self.dropped[:_MAX_TERMS])
            more = len(self.dropped) - _MAX_TERMS
            rest = f"  and {more} more" if more > 0 else ""
            yield f"not valid in SPF, and left out: {shown}{rest}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that may authorise the relay."""

    record: SpfRecord
    notes: tuple[str, ...] = ()

    def publication(self, published: Published) -> Publication:
        """The record for the domain of *published*, in the place of what it has."""
        return Publication(
            published.wildcard or published.domain.name,
            published.domain,
            Kind.TXT,
            self.record.text,
            published.replaced,
            published.others,
        )


def read_published(domain: Domain, lookup: Lookup) -> Published | LookupFailed:
    """Read what SPF record *domain* has, however broken."""
    answer = lookup.look_up(domain.name, RecordType.TXT)
    if isinstance(answer, LookupFailed):
        return answer
    wildcard = wildcard_of(domain, lookup)
    if isinstance(wildcard, LookupFailed):
        return wildcard
    # DNS turns the order round from answer to answer; the advice stays the same.
    texts = sorted(answer.texts)
    replaced = find_records(texts) or find_resembling(texts)
    readings = [read_record(text, domain) for text in replaced]
    return Published(
        domain=domain,
        others=tuple(text for text in texts if text not in replaced),
        replaced=replaced,
        record=merge(tuple(reading.record for reading in readings)) if readings else None,
        dropped=tuple(term for reading in readings for term in reading.dropped),
        alias_of=answer.alias_of,
        wildcard=wildcard,
    )


def with_include(published: Published, include: Domain) -> Iterator[Candidate]:
    """The records that include *include*, best first."""
    yield from _with(published, (f"include:{include}",))


def with_addresses(published: Published, prediction: Prediction) -> Iterator[Candidate]:
    """The records that also list the relay addresses they lack; none if they list no other."""
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
        yield Candidate(record)  # repaired, it may do
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
