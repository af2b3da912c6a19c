"""What the ledger costs: alignd with one and alignd without, by turns in one run."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import setup, speed
from bench.generator import Generator, Load
from bench.peers import Peer
from tests.lab.alignd import Alignd
from tests.lab.readiness import wait_until

KEEPS = 0.98
"""The share of its messages a second that alignd is to keep."""
_MOST = 1_000_000  # messages of one run
_ROUND = 2.0  # seconds; the ledger writes every second
_PATIENCE = 60.0  # seconds

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WithLedger:
    """Messages a second at one number of connections."""

    connections: int
    rate: float
    without: float
    share: float
    """The median of what was kept in each round."""


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
        for each in (ours, plain):
            speed.warm(generator, Peer(speed.OURS, each.socket), 2)
        ledger = _Ledger(file)
        ledger.rest()
        for connections in speed.CONNECTIONS:
            load = Load(connections, _MOST, runs.seconds, edits=setup.EDITS)
            rates: dict[str, list[float]] = {ours.socket: [], plain.socket: []}
            for number in range(runs.rounds):
                tell(f"with a ledger, {connections} connections, round {number + 1}")
                for each in (ours, plain) if number % 2 else (plain, ours):
                    run = generator.run(each.socket, load)
                    rates[each.socket].append(run.rate)
                    if each is ours:
                        ledger.count(run.messages)
            yield _compared(connections, rates[ours.socket], rates[plain.socket])


class _Ledger:
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


def _compared(connections: int, ours: list[float], plain: list[float]) -> WithLedger:
    shares = [mine / other for mine, other in zip(ours, plain, strict=True)]
    median = statistics.median
    return WithLedger(connections, median(ours), median(plain), median(shares))


@contextmanager
def _run(directory: Path, nameserver: str, url: str) -> Iterator[Alignd]:
    directory.mkdir()
    changes = f'[ledger]\nwatch = "0s"\nurl = "{url}"\n'
    with setup.run_ours(directory, nameserver, changes=changes) as alignd:
        yield alignd
