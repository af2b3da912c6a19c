"""What an act is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demo.servers import Servers


@dataclass(frozen=True, slots=True)
class Check:
    """A promise in words, and whether it was kept."""

    promise: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """One thing about a message, as it left its sender and as it arrived, if it did."""

    name: str
    before: str
    after: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an act."""

    server: str
    """Whose server had the last word."""
    answer: str
    verdicts: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    checks: tuple[Check, ...]
    log: tuple[str, ...]

    @property
    def as_promised(self) -> bool:
        """Whether every promise was kept."""
        return all(check.kept for check in self.checks)


@dataclass(frozen=True, slots=True)
class Act:
    """A part of the story that can be played."""

    title: str
    setting: str
    promise: str
    play: Callable[[Servers], Outcome]
