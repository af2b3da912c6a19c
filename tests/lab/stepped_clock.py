"""A wall clock that a test sets, for the programs that are started with it alone."""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.lab import fast_clock

_WIDTH = 20  # of a step, so that it is replaced in one write


class SteppedClock:
    """A library to be preloaded, and the step that it adds to the wall clock."""

    def __init__(self, directory: Path) -> None:
        """Build it in *directory*."""
        self._library = fast_clock.build(directory)
        self._step = directory / "step"
        self._step.write_text(" " * _WIDTH)
        self.step(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program needs to have this clock."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_STEPS": str(self._step)}

    def step(self, seconds: int) -> None:
        """Have it differ from the machine's clock by *seconds* from now on."""
        with self._step.open("r+b") as file:
            os.pwrite(file.fileno(), f"{seconds:<{_WIDTH}}".encode(), 0)
