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
_REST = 2.0  # seconds, in which what was counted is written, so that the next one is alone
_PATIENCE = 60.0

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
    """The ledger has not counted what was answered, so its cost is not that of counting."""


def measure(
    generator: Generator, directory: Path, nameserver: str, tell: Tell, runs: speed.Runs
) -> Iterator[WithLedger]:
    """Run both by turns, with each first as often as the other.

    Raises:
        UncountedError: the ledger lacks messages.
    """
    file = directory / "ledger.sqlite"
    answered = 0
    with (
        _run(directory / "with", nameserver, f"sqlite:///{file}") as ours,
        _run(directory / "without", nameserver, "") as plain,
    ):
        for each in (ours, plain):
            speed.warm(generator, Peer(speed.OURS, each.socket), 2)
        wait_until(lambda: _counted(file) > 0, "the ledger to count", _PATIENCE)
        time.sleep(_REST)
        before = _counted(file)
        for connections in speed.CONNECTIONS:
            load = Load(connections, _MOST, runs.seconds, edits=setup.EDITS)
            rates: dict[str, list[float]] = {ours.socket: [], plain.socket: []}
            for number in range(runs.rounds):
                tell(f"with a ledger, {connections} connections, round {number + 1}")
                pair = (ours, plain) if number % 2 else (plain, ours)
                for each in pair:
                    run = generator.run(each.socket, load)
                    rates[each.socket].append(run.rate)
                    answered += run.messages if each is ours else 0
                    time.sleep(_REST)
            yield _compared(connections, rates[ours.socket], rates[plain.socket])
        counted = _counted(file) - before
        if counted != answered:
            raise UncountedError(f"{counted} of {answered} messages counted")


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


def _counted(file: Path) -> int:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        ((messages,),) = database.execute("SELECT coalesce(sum(messages), 0) FROM hours")
        return int(messages)
