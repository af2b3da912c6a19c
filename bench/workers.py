"""How many workers pay: alignd alone, with few and with many of them."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import setup, speed
from bench.generator import Generator, Load
from bench.peers import Peer

_TIMES = (0.5, 1, 2, 3)  # the number of cores
_MOST = 1_000_000  # messages of one run

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Crew:
    """What a number of workers does."""

    workers: int
    rates: tuple[float, ...]
    """Messages a second, at each number of connections of `speed`."""


def measure(
    generator: Generator, directory: Path, nameserver: str, tell: Tell, runs: speed.Runs
) -> Iterator[Crew]:
    """Measure one crew after another; each author is met before."""
    cores = len(os.sched_getaffinity(0))
    for workers in sorted({max(1, round(times * cores)) for times in _TIMES}):
        tell(f"{workers} workers")
        place = directory / f"workers{workers}"
        place.mkdir()
        with setup.run_ours(place, nameserver, workers=workers) as alignd:
            speed.warm(generator, Peer(speed.OURS, alignd.socket), workers, runs)
            rates = []
            for connections in speed.CONNECTIONS:
                load = Load(connections, _MOST, runs.seconds, edits=setup.EDITS)
                found = [generator.run(alignd.socket, load).rate for _ in range(runs.rounds)]
                rates.append(statistics.median(found))
            yield Crew(workers, tuple(rates))
