"""What the ledger costs: alignd with one and alignd without, by turns in one run."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import setup, speed
from bench.generator import Generator, Load, Run
from bench.peers import Peer
from tests.lab.alignd import Alignd
from tests.lab.processes import calls_itself, processor_seconds
from tests.lab.readiness import wait_until

KEEPS = 0.98
"""The share of its messages a second that alignd is to keep."""
_MOST = 1_000_000  # messages of one run
_ROUND = 12.0  # seconds: longer than the ledger rests between two writes
_PATIENCE = 60.0  # seconds

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WithLedger:
    """Messages a second at one number of connections."""

    connections: int
    rate: float
    without: float
    microseconds: float
    """Processor time of the ledger's process for a message, its writing included."""

    @property
    def share(self) -> float:
        """Of the messages a second, what is kept."""
        return self.rate / self.without


class UncountedError(RuntimeError):
    """The ledger has not counted each message, so its cost is not that of counting."""


def measure(
    generator: Generator, directory: Path, nameserver: str, tell: Tell, runs: speed.Runs
) -> Iterator[WithLedger]:
    """Run both by turns, with each first as often as the other.

    Raises:
        UncountedError: the ledger lacks messages, or has too many.
    """
    file = directory / "ledger.sqlite"
    with (
        _run(directory / "with", nameserver, f"sqlite:///{file}") as ours,
        _run(directory / "without", nameserver, "") as plain,
    ):
        for alignd in (ours, plain):
            speed.warm(generator, Peer(speed.OURS, alignd.socket), 2, runs)
        ledger = CountingLedger(file)
        ledger.rest()
        (process,) = (pid for pid in ours.children() if calls_itself(pid, "alignd: ledger"))
        for connections in speed.CONNECTIONS:
            load = Load(connections, _MOST, runs.seconds, edits=setup.EDITS)
            with_it, without = Sum(ours), Sum(plain)
            before = processor_seconds(process)
            for number in range(runs.rounds):
                tell(f"with a ledger, {connections} connections, round {number + 1}")
                for each in (with_it, without) if number % 2 else (without, with_it):
                    run = generator.run(each.alignd.socket, load)
                    each.add(run)
                    if each is with_it:
                        ledger.count(run.messages)
            spent = processor_seconds(process) - before
            microseconds = spent / with_it.messages * 1e6
            yield WithLedger(connections, with_it.rate, without.rate, microseconds)


class Compared(Protocol):
    """Messages a second with something and without it, at one number of connections."""

    @property
    def rate(self) -> float:
        raise NotImplementedError

    @property
    def without(self) -> float:
        raise NotImplementedError


def share_of_all(found: Sequence[Compared]) -> float:
    """Of the messages a second, what is kept at all numbers of connections together."""
    return sum(each.rate for each in found) / sum(each.without for each in found)


@dataclass(slots=True)
class Sum:
    """All runs of one alignd. A median would leave out the runs in which the ledger writes."""

    alignd: Alignd
    messages: int = 0
    seconds: float = 0.0

    def add(self, run: Run) -> None:
        self.messages += run.messages
        self.seconds += run.seconds

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


class CountingLedger:
    """Sees that the ledger counts every message."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._expected = 0

    def count(self, messages: int) -> None:
        """Wait until so many more are counted: writing them is no work of the next run."""
        self._expected += messages
        try:
            wait_until(lambda: self._counted() >= self._expected, "the ledger", _PATIENCE)
        except TimeoutError as error:
            raise UncountedError(f"{self._counted()} of {self._expected} counted") from error
        if (counted := self._counted()) != self._expected:
            raise UncountedError(f"{counted} counted of {self._expected}")

    def rest(self) -> None:
        """Wait until nothing more comes."""
        before = -1
        while (now := self._counted()) != before or not now:
            before = now
            time.sleep(_ROUND)
        self._expected = before

    def _counted(self) -> int:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as database:
            ((messages,),) = database.execute("SELECT coalesce(sum(messages), 0) FROM hours")
            return int(messages)


@contextmanager
def _run(directory: Path, nameserver: str, url: str) -> Iterator[Alignd]:
    directory.mkdir()
    changes = f'[ledger]\nwatch = "0s"\nurl = "{url}"\n'
    with setup.run_ours(directory, nameserver, changes=changes) as alignd:
        yield alignd
