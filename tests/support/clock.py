"""A clock that tests turn."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Says what it was set to, in seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
