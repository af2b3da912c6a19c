"""Messages a second of alignd and of its peers, by turns in one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.generator import Generator, Load, LoadError
from bench.peers import EMPTY, OPENDMARC, PYDMARC, PYSPF, RSPAMD, Peer
from bench.setup import EDITS

CONNECTIONS = (1, 10, 100)
OURS = "alignd"
GOALS = {
    EMPTY: (0.85, 0.80, 0.80),
    OPENDMARC: (2.0, 1.6, 1.5),
    RSPAMD: (1.0, 1.0, 1.0),
    PYSPF: (3.5, 6.0, 5.0),
    PYDMARC: (3.5, 6.0, 5.0),
}
"""What alignd is to be, times the peer, at each number of connections; others have no goal."""
_MOST = 1_000_000  # messages of one run

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Runs:
    """How often, and how long, each milter runs at each number of connections."""

    rounds: int = 5
    seconds: float = 1.0
    warming: int = 10_000
    """Messages for each worker of alignd before: each meets every author then."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The median rate of one milter at each number of connections."""

    name: str
    rates: tuple[float, ...]
    """Messages a second."""


class UnlikeError(RuntimeError):
    """The yardstick does not speak the protocol as alignd does."""


def warm(generator: Generator, ours: Peer, workers: int, runs: Runs) -> None:
    """Have every worker of alignd meet every author domain."""
    generator.run(ours.socket, Load(2 * workers, runs.warming * workers, 120, edits=EDITS))


def measure(
    generator: Generator, ours: Peer, peers: Sequence[Peer], tell: Tell, runs: Runs
) -> list[Speed]:
    """Run all by turns; the first of the result is alignd.

    Raises:
        UnlikeError: the yardstick has other flags than alignd.
        LoadError: alignd did not answer as it should.
    """
    everybody = [ours, *peers]
    rates: dict[str, list[list[float]]] = {each.name: [] for each in everybody}
    for connections in CONNECTIONS:
        found: dict[str, list[float]] = {each.name: [] for each in everybody}
        for number in range(runs.rounds):
            tell(f"{connections} connections, round {number + 1} of {runs.rounds}")
            flags = {}
            for each in everybody:
                edits = EDITS if each is ours else None
                load = Load(connections, _MOST, runs.seconds, edits=edits)
                try:
                    run = generator.run(each.socket, load)
                except LoadError:
                    if each is ours:
                        raise
                    continue  # its median is of the rounds that it survived
                found[each.name].append(run.rate)
                flags[each.name] = run.flags
            if flags.get(EMPTY, flags[OURS]) != flags[OURS]:
                raise UnlikeError(f"{flags[EMPTY]:#x} is not {flags[OURS]:#x}")
        for name, each_round in found.items():
            rates[name].append(each_round)
    return [
        Speed(name, tuple(statistics.median(each) if each else 0.0 for each in found))
        for name, found in rates.items()
    ]


def ratios(ours: Speed, peer: Speed) -> tuple[float, ...]:
    """How many times as fast as *peer* alignd is; 0 where the peer failed."""
    pairs = zip(ours.rates, peer.rates, strict=True)
    return tuple(mine / theirs if theirs else 0.0 for mine, theirs in pairs)
