"""Rewriting that was needless, as far as the ledger can tell, and whose mail could do without.

Reports cannot tell: rewritten mail is from the notifications domain there. So this is an
estimate, made from what was found of the author domain's records at other times.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from alignd.judgement.reasons import Reason, reason_of
from alignd.ledger.receivers.rows import Rewriting

MAX_CANDIDATES = 1_000
_BY_RECORDS = frozenset(
    {Reason.DNS_UNKNOWN, Reason.RELAY_NOT_AUTHORISED, Reason.RELAY_PARTLY_AUTHORISED}
)
"""What a rewrite is needless for if the records of the domain say something else."""
_MENDED = frozenset(
    {
        *(Reason.RELAY_NOT_AUTHORISED, Reason.RELAY_PARTLY_AUTHORISED),
        *(Reason.UNALIGNED, Reason.RECIPIENT_DOMAIN),
    }
)
"""What a record of the domain would end."""


@dataclass(frozen=True, slots=True)
class Needless:
    """An estimate, of messages."""

    rewritten: int = 0
    """All that were, of domains that the ledger tells apart."""
    while_passing: int = 0
    """Those on days on which the watch knew from the start that mail of the domain aligns."""
    without_dns: int = 0
    """Of those for which DNS did not answer, the share that aligns when it does."""

    @property
    def messages(self) -> int:
        return self.while_passing + self.without_dns


@dataclass(frozen=True, slots=True)
class Candidate:
    """An author domain whose mail could stop being rewritten."""

    domain: str
    messages: int
    """Those that were rewritten for want of a record."""
    reason: str
    """Why most of them were, in the words of the log."""


def estimate(rewriting: Iterable[Rewriting]) -> Needless:
    """How much was rewritten in vain."""
    rows = list(rewriting)
    judged = Counter[str]()
    for each in rows:
        if each.reason != Reason.DNS_UNKNOWN.value:
            judged[each.domain] += each.messages
    while_passing, without_dns = 0, 0.0
    for each in rows:
        late = each.while_passing if reason_of(each.reason) in _BY_RECORDS else 0
        while_passing += late
        known = judged[each.domain] + each.aligned
        if each.reason == Reason.DNS_UNKNOWN.value and known:
            without_dns += (each.messages - late) * each.aligned / known
    rewritten = sum(each.messages for each in rows)
    return Needless(rewritten, while_passing, round(without_dns))


def candidates(rewriting: Iterable[Rewriting]) -> tuple[Candidate, ...]:
    """Domains that a record would help, most messages first."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for each in rewriting:
        if reason_of(each.reason) in _MENDED and not each.is_over:
            reasons[each.domain][each.reason] += each.messages
    found = [
        Candidate(domain, found.total(), found.most_common(1)[0][0])
        for domain, found in reasons.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.messages, each.domain))[:MAX_CANDIDATES])
