"""The share of mail that receivers passed: of each receiver, and of each author domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from alignd.ledger.receivers.rows import ReportKey
from alignd.reports.receivers.predicted import Predicted, Undecided
from alignd.reports.report import Outcome

MARGIN = 0.1
"""Where a part of a domain's mail was to fail, receivers see another part of it than is sent."""
_DEVIATIONS = 3.0
"""Standard deviations by which the part that a few messages are differs by chance."""


@dataclass(frozen=True, slots=True)
class Held:
    """Mail of one receiver, or of one author domain, beside what was predicted for it."""

    name: str
    passed: int = 0
    failed: int = 0
    unknown: int = 0
    """Messages of which the report does not say whether they pass."""
    expected: float = 0.0
    """Of those passed and failed, how many were to pass by the shares that were predicted."""
    variance: float = 0.0
    """Of that number, if they were drawn from the domain's mail; 0 where all was to pass."""

    @property
    def told(self) -> int:
        """Messages of which receivers said whether they pass."""
        return self.passed + self.failed

    @property
    def share(self) -> float | None:
        """The share of them that passed; None where there are none."""
        return self.passed / self.told if self.told else None

    @property
    def predicted(self) -> float | None:
        """The share of them that was to pass."""
        return self.expected / self.told if self.told else None

    @property
    def is_below(self) -> bool:
        """Whether clearly less passed than was to: not by chance, and not a little."""
        by_chance = _DEVIATIONS * sqrt(self.variance)
        return self.expected - self.passed > max(MARGIN * self.told, by_chance)

    def plus(self, key: ReportKey, messages: int, predicted: Predicted) -> Held:
        """The same with *messages* more."""
        passed = messages if key.result == Outcome.PASS.value else 0
        failed = messages if key.result == Outcome.FAIL.value else 0
        told, share = passed + failed, predicted.share
        return Held(
            self.name,
            self.passed + passed,
            self.failed + failed,
            self.unknown + messages - told,
            self.expected + told * share,
            self.variance + told * share * (1 - share),
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """A row of a report on days that the ledger knows, and on which nothing changed."""

    key: ReportKey
    messages: int
    predicted: Predicted


@dataclass(frozen=True, slots=True)
class Open:
    """Mail that decides nothing, with the reason."""

    domain: str
    why: Undecided
    messages: int
    failed: int


def by_receiver(rows: Iterable[Decided]) -> tuple[Held, ...]:
    """The worst first."""
    return _held((row.key.reporter, row) for row in rows)


def by_domain(rows: Iterable[Decided]) -> tuple[Held, ...]:
    """The worst first."""
    return _held((row.key.domain, row) for row in rows)


def _held(rows: Iterable[tuple[str, Decided]]) -> tuple[Held, ...]:
    found: dict[str, Held] = {}
    for name, row in rows:
        held = found.get(name) or Held(name)
        found[name] = held.plus(row.key, row.messages, row.predicted)
    return tuple(sorted(found.values(), key=_worst_first))


def _worst_first(held: Held) -> tuple[float, int, str]:
    return held.passed - held.expected, -held.told, held.name


def gathered(rows: Iterable[tuple[ReportKey, int, Undecided]]) -> tuple[Open, ...]:
    """What decides nothing, by domain and reason; what fails most first."""
    found: dict[tuple[str, Undecided], list[int]] = {}
    for key, messages, why in rows:
        sums = found.setdefault((key.domain, why), [0, 0])
        sums[0] += messages
        sums[1] += messages if key.result == Outcome.FAIL.value else 0
    opens = (Open(*key, messages, failed) for key, (messages, failed) in found.items())
    return tuple(sorted(opens, key=lambda each: (-each.failed, -each.messages, each.domain)))
