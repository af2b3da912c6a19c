"""Yes, no, or unknown: what can be said where DNS may not have answered."""

from __future__ import annotations

from enum import Enum


class Ternary(Enum):
    """The answer to a question that DNS has a part in."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def __and__(self, other: Ternary) -> Ternary:
        """Whether both hold: one NO settles it, whatever is unknown."""
        if Ternary.NO in {self, other}:
            return Ternary.NO
        return Ternary.UNKNOWN if Ternary.UNKNOWN in {self, other} else Ternary.YES

    def __or__(self, other: Ternary) -> Ternary:
        """Whether one holds: a YES settles it, whatever is unknown."""
        if Ternary.YES in {self, other}:
            return Ternary.YES
        return Ternary.UNKNOWN if Ternary.UNKNOWN in {self, other} else Ternary.NO

    def __bool__(self) -> bool:
        """Refuse: "if aligned" would take UNKNOWN for one of the others."""
        raise TypeError("compare with Ternary.YES, NO or UNKNOWN")
