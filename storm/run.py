"""A storm: its name, its claim, its number of messages, how it is played and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from storm.accounts import Balance


@dataclass(frozen=True, slots=True)
class Order:
    """How large a storm is wanted."""

    messages: int
    seed: int
    progress: Callable[[int, int], None] = lambda _done, _total: None
    """Told how much is done of how much."""
    only: tuple[str, ...] = ()
    """Of the faults of a storm that has names for them, those alone; empty: all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a storm."""

    figures: tuple[str, ...]
    """What was counted and measured, ready to be read."""
    broken: tuple[str, ...]
    """The promises that were not kept; empty if all were."""


@dataclass(slots=True)
class Findings:
    """Gathers an outcome."""

    figures: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def note(self, figure: str) -> None:
        """Add a figure that promises nothing."""
        self.figures.append(figure)

    def hold(self, promise: str, *, kept: bool) -> None:
        """Add a figure that is a promise, with what was found in it."""
        self.figures.append(promise)
        if not kept:
            self.broken.append(promise)

    def add(self, balance: Balance, *, cautious: bool = False, may_refuse: bool = False) -> None:
        """Add the accounts.

        *cautious*: what would have passed may have been rewritten; *may_refuse*: what the client
        was told to send again is in the client's accounts, not in these.
        """
        self.hold(f"{balance.accepted} taken", kept=balance.accepted > 0)
        self.hold(f"{balance.refused} refused", kept=may_refuse or not balance.refused)
        for count, name in (
            (balance.lost, "lost"),
            (balance.duplicated, "duplicated"),
            (balance.unrewritten, "unrewritten"),
            (balance.half_changed, "half-changed"),
        ):
            self.hold(f"{count} {name}", kept=count == 0)
        if cautious:
            self.note(f"{balance.overcautious} rewritten to be safe")
        else:
            self.hold(
                f"{balance.overcautious} rewritten needlessly", kept=not balance.overcautious
            )

    def outcome(self) -> Outcome:
        """What was gathered."""
        return Outcome(tuple(self.figures), tuple(self.broken))


@dataclass(frozen=True, slots=True)
class Storm:
    """One line of the table."""

    name: str
    claim: str
    """With {messages} where the number of messages stands."""
    messages: int
    play: Callable[[Order], Outcome]


@dataclass(frozen=True, slots=True)
class Result:
    """A storm that is over."""

    storm: Storm
    order: Order
    outcome: Outcome
    seconds: float
