"""Rewriting that was needless, as far as the ledger can tell, and whose mail could do without.

Reports cannot tell: rewritten mail is from the notifications domain there. So this is an
estimate, made from what was found of the author domain's records at other times.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from alignd.judgement.reasons import Action, Expected, Reason, reason_of
from alignd.ledger.answer import NO_DOMAIN, OTHER
from alignd.ledger.receivers.rows import PredictedDay, Receivers

MAX_CANDIDATES = 1_000
_BY_RECORDS = frozenset({
    Reason.DNS_UNKNOWN,
    Reason.RELAY_NOT_AUTHORISED,
    Reason.RELAY_PARTLY_AUTHORISED,
})  # fmt: skip
"""What a rewrite is needless for if the records of the domain say something else."""
_MENDED = frozenset({
    Reason.RELAY_NOT_AUTHORISED,
    Reason.RELAY_PARTLY_AUTHORISED,
    Reason.UNALIGNED,
    Reason.RECIPIENT_DOMAIN,
})  # fmt: skip
"""What a record of the domain would end."""


@dataclass(frozen=True, slots=True)
class Needless:
    """An estimate, of messages."""

    rewritten: int = 0
    """All that were."""
    while_passing: int = 0
    """Those of domains that the watch had found to pass on the day before, or earlier."""
    without_dns: int = 0
    """Of those for which DNS did not answer, the share that passes at other times."""

    @property
    def messages(self) -> int:
        return self.while_passing + self.without_dns


@dataclass(frozen=True, slots=True)
class Candidate:
    """An author domain whose mail could stop being rewritten."""

    domain: str
    messages: int
    """Those that were rewritten."""
    reason: str
    """Why most of them were, in the words of the log."""


def estimate(receivers: Receivers) -> Needless:
    """How much was rewritten in vain."""
    passing = dict(receivers.passing)
    shares = _aligned_shares(receivers.days)
    rewritten = while_passing = 0
    without_dns = 0.0
    for each in receivers.days:
        reason = reason_of(each.reason)
        if reason is None or reason.action is not Action.REWRITE:
            continue
        rewritten += each.messages
        if each.domain in passing and each.day >= passing[each.domain] and reason in _BY_RECORDS:
            while_passing += each.messages
        elif reason is Reason.DNS_UNKNOWN:
            without_dns += each.messages * shares.get(each.domain, 0.0)
    return Needless(rewritten, while_passing, round(without_dns))


def candidates(receivers: Receivers) -> tuple[Candidate, ...]:
    """Domains whose mail was rewritten when they sent last, most messages first."""
    last: dict[str, int] = {}
    for each in receivers.days:
        if reason_of(each.reason) in _MENDED or _is_aligned(each):
            last[each.domain] = max(each.day, last.get(each.domain, 0))
    names = _rewritten_on(receivers.days, last, dict(receivers.passing))
    messages: dict[str, Counter[str]] = defaultdict(Counter)
    for each in receivers.days:
        if each.domain in names and reason_of(each.reason) in _MENDED:
            messages[each.domain][each.reason] += each.messages
    found = [
        Candidate(domain, reasons.total(), reasons.most_common(1)[0][0])
        for domain, reasons in messages.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.messages, each.domain))[:MAX_CANDIDATES])


def _rewritten_on(
    days: Iterable[PredictedDay], last: Mapping[str, int], passing: Container[str]
) -> frozenset[str]:
    return frozenset(
        each.domain
        for each in days
        if reason_of(each.reason) in _MENDED
        and each.day == last[each.domain]
        and each.domain not in {NO_DOMAIN, OTHER}
        and each.domain not in passing
    )


def _aligned_shares(days: Iterable[PredictedDay]) -> Mapping[str, float]:
    """By domain, the share of mail that passes in its author's name when DNS answers."""
    aligned: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for each in days:
        reason = reason_of(each.reason)
        if reason is None or reason is Reason.DNS_UNKNOWN or reason.action is Action.SKIP:
            continue
        judged[each.domain] += each.messages
        aligned[each.domain] += each.messages if _is_aligned(each) else 0
    return {domain: aligned[domain] / number for domain, number in judged.items() if number}


def _is_aligned(day: PredictedDay) -> bool:
    reason = reason_of(day.reason)
    return reason is not None and reason.expected() is Expected.ALIGNED
