"""Three-valued logic: yes, no, or unknown where DNS did not answer."""

from __future__ import annotations

from enum import Enum


class Ternary(Enum):
    """The answer to a question that depends on DNS (Kleene's strong logic)."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def __and__(self, other: Ternary) -> Ternary:
        """Whether both are true; one NO decides, whatever is unknown."""
        if Ternary.NO in {self, other}:
            return Ternary.NO
        return Ternary.UNKNOWN if Ternary.UNKNOWN in {self, other} else Ternary.YES

    def __or__(self, other: Ternary) -> Ternary:
        """Whether either is true; one YES decides, whatever is unknown."""
        if Ternary.YES in {self, other}:
            return Ternary.YES
        return Ternary.UNKNOWN if Ternary.UNKNOWN in {self, other} else Ternary.NO

    def __invert__(self) -> Ternary:
        """Whether it is false."""
        return _OPPOSITES[self]

    def __bool__(self) -> bool:
        """Raise TypeError: `if aligned:` would take UNKNOWN for YES or NO."""
        raise TypeError("compare with Ternary.YES, NO or UNKNOWN")


_OPPOSITES = {
    Ternary.YES: Ternary.NO,
    Ternary.NO: Ternary.YES,
    Ternary.UNKNOWN: Ternary.UNKNOWN,
}
