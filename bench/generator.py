"""Builds the load generator, and runs it against the socket of a milter."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("load.c")
_MARGIN = 60.0  # seconds that it may need beyond what it was given


class LoadError(RuntimeError):
    """A milter did not answer as it should; the text has the first trouble."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a milter is to bear."""

    connections: int
    messages: int
    seconds: float
    """It ends with whichever of the two comes first."""
    domains: int = 1_000
    edits: int | None = None
    """How many changes the mail of every third domain gets; None: whatever comes."""
    fields: int = 0
    """Header fields besides the 16 of every message."""
    recipients: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """What it bore."""

    messages: int
    seconds: float
    flags: int
    """SMFIP_*: which events it asked for, and which it does not answer."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


@dataclass(frozen=True, slots=True)
class Generator:
    """The program."""

    program: Path

    def run(self, socket: str, load: Load) -> Run:
        """Put *load* on the milter at *socket*, unix:PATH or inet:PORT.

        Raises:
            LoadError: an answer was wrong, or none came.
        """
        edits = -1 if load.edits is None else load.edits
        numbers = (load.connections, load.messages, load.seconds, load.domains, edits)
        arguments = [socket, *map(str, (*numbers, load.fields, load.recipients))]
        done = subprocess.run(
            [self.program, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=load.seconds + _MARGIN,
        )
        found = json.loads(done.stdout)
        if found["wrong"]:
            raise LoadError(f"{found['wrong']} of {found['messages']}: {found['problem']}")
        return Run(found["messages"], found["seconds"], found["flags"])


def build(directory: Path) -> Generator:
    """Compile it into *directory*."""
    program = directory / "load"
    options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run(["gcc", *options, str(_SOURCE), "-o", str(program)], check=True, timeout=60)
    return Generator(program)
