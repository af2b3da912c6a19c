"""Where receivers contradict what was predicted, what is likely the reason, and what mends it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from alignd.ledger.receivers.rows import ReportKey
from alignd.reports.ours import Fault
from alignd.reports.receivers.predicted import Predicted, days_of
from alignd.reports.receivers.shares import Decided, by_domain
from alignd.reports.report import Outcome


class Kind(Enum):
    """What it means."""

    OUTAGE = "outage"
    """Rewritten mail fails, which has nothing else to pass by."""
    LOST = "lost"
    """It was left alone because it would pass, and it fails."""
    UNLISTED = "unlisted"
    """It left from an address that the configuration lacks, so that it was predicted wrongly."""

    @property
    def is_failure(self) -> bool:
        """Whether mail fails that was to pass."""
        return self is not Kind.UNLISTED


class Cause(Enum):
    """The likely reason."""

    ADDRESS = "address-not-listed"
    KEY = "key-replaced"
    NO_SIGNATURE = "no-signature"
    ANOTHER_ANSWER = "receiver-sees-another-record"
    DNS = "dns-at-the-receiver"
    ALIGNMENT = "alignment"
    NOT_AUTHORISED = "address-not-authorised"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Messages that one receiver tells of, from one address, with the same results."""

    kind: Kind
    cause: Cause
    domain: str
    """Of From."""
    receiver: str
    address: str
    dkim: str
    spf: str
    messages: int


_CAUSES = {
    Cause.ADDRESS: "a key of ours signs there, and SPF authorises it: an address of this relay "
    "that relay.addresses does not have",
    Cause.KEY: "the published DKIM key does not verify the signature: it was rotated or replaced, "
    "or something changes mail behind the signer",
    Cause.NO_SIGNATURE: "there was no DKIM signature that was to be there",
    Cause.ANOTHER_ANSWER: "other receivers passed the same mail on the same days: this one sees "
    "another record, such as an old one in a cache, or one of two nameservers is behind",
    Cause.DNS: "the receiver could not get the record or the key from DNS",
    Cause.ALIGNMENT: "what passed is of another domain than From",
    Cause.NOT_AUTHORISED: "the SPF record did not authorise the address of this relay",
    Cause.UNKNOWN: "the report does not say enough",
}
_FIXES = {
    Cause.ADDRESS: "Add it to relay.addresses if you know it for one of this relay: a customer's "
    "own server may forward there, and whoever sends a report writes what he likes.",
    Cause.KEY: "Compare the published key with the signer's: `alignd doctor` does for ours, and "
    "`alignd explain` shows the customer's.",
    Cause.NO_SIGNATURE: "See that the signer runs and signs for that domain; until it does, "
    "correct [dkim].",
    Cause.ANOTHER_ANSWER: "Ask all nameservers of the domain for the record: they must agree. "
    "Else wait for its TTL.",
    Cause.DNS: "If it lasts, look at the nameservers of the domain: `alignd domain` asks them.",
    Cause.ALIGNMENT: "See which envelope sender and which d= that mail has, by `alignd explain`, "
    "and whether adkim or aspf of the policy is strict.",
    Cause.NOT_AUTHORISED: "`alignd domain` makes the record that authorises this relay. If the "
    "record is right now, it was another one on these days.",
    Cause.UNKNOWN: "`alignd explain` on such a message says what is predicted now.",
}


def meaning_of(cause: Cause) -> str:
    """A clause, without a full stop."""
    return _CAUSES[cause]


def fix_for(cause: Cause) -> str:
    """What an operator does about it."""
    return _FIXES[cause]


def disagreements(
    rewritten: Iterable[Decided],
    left_alone: Iterable[Decided],
    unlisted: Iterable[tuple[ReportKey, int]],
) -> tuple[Disagreement, ...]:
    """All of them, the outages first, and then those with most messages."""
    found: Counter[_Key] = Counter()
    for kind, rows in ((Kind.OUTAGE, _clear(rewritten)), (Kind.LOST, _clear(left_alone))):
        others = _Others.of(rows)
        for row in rows:
            if row.key.result == Outcome.FAIL.value:
                cause = _cause_of(row.key, row.predicted, others)
                found[_key(kind, cause, row.key)] += row.messages
    for key, messages in unlisted:
        found[_key(Kind.UNLISTED, Cause.ADDRESS, key)] += messages
    order = list(Kind)
    keys = sorted(found, key=lambda key: (order.index(key[0]), -found[key], key[2:]))
    return tuple(Disagreement(*key, found[key]) for key in keys)


_Key = tuple[Kind, Cause, str, str, str, str, str]


def _key(kind: Kind, cause: Cause, key: ReportKey) -> _Key:
    return kind, cause, key.domain, key.reporter, key.address, key.dkim, key.spf


def _clear(rows: Iterable[Decided]) -> list[Decided]:
    """Those of *rows* whose failures contradict what was predicted.

    Where a part of the mail of a domain was to fail, it is nothing new that a part fails, unless
    it is clearly more.
    """
    all_rows = list(rows)
    partly = by_domain(row for row in all_rows if not row.predicted.is_certain)
    below = {held.name for held in partly if held.is_below}
    return [row for row in all_rows if row.predicted.is_certain or row.key.domain in below]


@dataclass(frozen=True, slots=True)
class _Others:
    """Who passed mail by which mechanism: by the domain of From, the address and the day."""

    _receivers: Mapping[tuple[str, str, str, int], set[str]]

    @classmethod
    def of(cls, rows: Iterable[Decided]) -> _Others:
        receivers: dict[tuple[str, str, str, int], set[str]] = defaultdict(set)
        for key in (row.key for row in rows):
            for mechanism, word in (("dkim", key.dkim), ("spf", key.spf)):
                if word == Fault.PASS.value:
                    for day in days_of(key):
                        receivers[mechanism, key.domain, key.address, day].add(key.reporter)
        return cls(receivers)

    def pass_by(self, mechanism: str, key: ReportKey) -> bool:
        """Whether another receiver passed such mail by it on one of the days."""
        return any(
            self._receivers.get((mechanism, key.domain, key.address, day), set()) - {key.reporter}
            for day in days_of(key)
        )


def _cause_of(key: ReportKey, predicted: Predicted, others: _Others) -> Cause:
    """The likely reason of a failure, by the mechanisms that the mail was to pass by."""
    dkim, spf = _fault(key.dkim), _fault(key.spf)
    by_dkim = bool(predicted.by_dkim or predicted.by_either)
    by_spf = bool(predicted.by_spf or predicted.by_either)
    found = {fault for fault, counts in ((dkim, by_dkim), (spf, by_spf)) if counts}
    if Fault.DNS in found:
        return Cause.DNS
    if (by_dkim and others.pass_by("dkim", key)) or (by_spf and others.pass_by("spf", key)):
        return Cause.ANOTHER_ANSWER
    if by_dkim and dkim is Fault.FAIL:
        return Cause.KEY
    if by_spf and spf in {Fault.FAIL, Fault.NONE}:
        return Cause.NOT_AUTHORISED
    if Fault.NOT_ALIGNED in found:
        return Cause.ALIGNMENT
    return Cause.NO_SIGNATURE if by_dkim and dkim is Fault.NONE else Cause.UNKNOWN


def _fault(word: str) -> Fault | None:
    """None for a word of another alignd."""
    return next((each for each in Fault if each.value == word), None)
