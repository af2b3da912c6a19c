"""Holds what receivers reported against what was predicted, and answers what comes of it.

As shares, never as counts: receivers sample, cut and shift days. Days on which the state of a
domain changed decide nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from alignd.ledger.receivers.rows import Receivers, ReportKey
from alignd.reports.ours import Origin
from alignd.reports.receivers.disagreements import Disagreement, disagreements
from alignd.reports.receivers.needless import Candidate, Needless, candidates, estimate
from alignd.reports.receivers.precision import Month, by_month
from alignd.reports.receivers.predicted import Predicted, Predictions, Undecided
from alignd.reports.receivers.shares import (
    Decided,
    Held,
    Open,
    by_domain,
    by_receiver,
    gathered,
)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Mail that our signature passes, from an address that SPF does not authorise: no fault."""

    domain: str
    messages: int


@dataclass(frozen=True, slots=True)
class Joined:
    """The answers."""

    reports: int = 0
    newest: float = 0.0
    """Unix time of the end of the latest report; 0 for none."""
    rewritten: tuple[Held, ...] = ()
    """Rewritten mail by receiver, the worst first."""
    left_alone: tuple[Held, ...] = ()
    """Mail in its author's name by receiver, the worst first."""
    domains: tuple[Held, ...] = ()
    """The same by author domain."""
    disagreements: tuple[Disagreement, ...] = ()
    """Outages first, and then by messages."""
    forwarded: tuple[Forwarded, ...] = ()
    """By author domain, most messages first."""
    undecided: tuple[Open, ...] = ()
    """What decides nothing, by domain and reason."""
    months: tuple[Month, ...] = ()
    """The latest first."""
    needless: Needless = field(default_factory=Needless)
    candidates: tuple[Candidate, ...] = ()
    """Author domains that could stop being rewritten, most messages first."""

    @property
    def has_failure(self) -> bool:
        """Whether rewritten mail fails, or mail that was to pass."""
        return any(each.kind.is_failure for each in self.disagreements)


def join(receivers: Receivers, *, is_dry: bool = False) -> Joined:
    """Hold the rows of *receivers* against its days.

    *is_dry*: whether rules.dry_run may have left alone what the days call rewritten.
    """
    predictions = Predictions.of(receivers, is_dry=is_dry)
    rewritten: list[Decided] = []
    left_alone: list[Decided] = []
    undecided: list[tuple[ReportKey, int, Undecided]] = []
    unlisted: list[tuple[ReportKey, int]] = []
    forwarded: Counter[str] = Counter()
    for key, messages in receivers.rows:
        match key.origin:
            case Origin.REWRITTEN.value:
                _decide(key, messages, predictions.of_rewritten(key), rewritten, undecided)
            case Origin.OURS.value:
                _decide(key, messages, predictions.of_row(key), left_alone, undecided)
            case Origin.UNLISTED.value:
                unlisted.append((key, messages))
            case Origin.FORWARDED.value:
                forwarded[key.domain] += messages
    return Joined(
        receivers.reports,
        receivers.newest,
        by_receiver(rewritten),
        by_receiver(left_alone),
        by_domain(left_alone),
        disagreements(rewritten, left_alone, unlisted),
        tuple(Forwarded(*each) for each in forwarded.most_common()),
        gathered(undecided),
        by_month(left_alone),
        estimate(receivers.rewriting),
        candidates(receivers.rewriting),
    )


def _decide(
    key: ReportKey,
    messages: int,
    found: Predicted | Undecided,
    decided: list[Decided],
    undecided: list[tuple[ReportKey, int, Undecided]],
) -> None:
    if isinstance(found, Undecided):
        undecided.append((key, messages, found))
    else:
        decided.append(Decided(key, messages, found))
