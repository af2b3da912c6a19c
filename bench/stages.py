"""Where the time of a message goes, as a profiler in the worker sees it."""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import setup
from bench.generator import Generator, Load
from tests.lab.processes import processor_seconds

STAGES = {
    "protocol": ("session", "bridge"),
    "collecting": ("collected", "message"),
    "memory": ("judgements", "lookahead", "resolver", "dnscache"),
    "decision": ("review", "decision", "prediction", "author", "mailbox", "domain", "settings"),
    "edits": ("rewrite", "displayname"),
    "log": ("journal", "report"),
    "metrics": ("metrics", "tally"),
}
"""The modules of each stage."""
OTHER, NATIVE = "other Python", "libmilter, pymilter, kernel"
_APPLYING = frozenset({"_apply", "_carry_out"})
_CALLS = 200_000  # by which the profiler itself is measured
_SECONDS = 8.0
_WARMING = 3_000  # messages after which every author is known


@dataclass(frozen=True, slots=True)
class Profile:
    """What one message costs, stage by stage."""

    microseconds: dict[str, float]
    """The Python of alignd by stage, with the system calls that it waits for, and all the rest."""


def profile(generator: Generator, directory: Path, nameserver: str) -> Profile:
    """Profile the one worker of an alignd of its own, with one message after another."""
    statistics = directory / "statistics"
    warming = Load(1, _WARMING, 60.0, edits=setup.EDITS)
    load = Load(1, 1_000_000, _SECONDS, edits=setup.EDITS)
    with setup.run_ours(directory / "plain", nameserver, workers=1) as alignd:
        generator.run(alignd.socket, warming)
        (worker,) = alignd.children()
        before = processor_seconds(worker)
        messages = generator.run(alignd.socket, load).messages
        whole = (processor_seconds(worker) - before) / messages * 1e6
    under = (sys.executable, "-m", "bench.profiled", str(statistics), str(_WARMING))
    with setup.run_ours(directory / "profiled", nameserver, workers=1, under=under) as alignd:
        generator.run(alignd.socket, warming)
        messages = generator.run(alignd.socket, load).messages
    found = _by_stage(statistics, messages)
    return Profile({**found, NATIVE: whole - sum(found.values())})


def _by_stage(statistics: Path, messages: int) -> dict[str, float]:
    """Microseconds of one message in each stage, without what the profiler adds to a call."""
    seconds: Counter[str] = Counter()
    added = _cost_of_a_call()
    read: Any = pstats.Stats(str(statistics))
    for (path, _, function), (_, calls, own, *_) in read.stats.items():
        seconds[_stage(function, Path(path))] += max(0.0, own - calls * added)
    return {stage: seconds[stage] / messages * 1e6 for stage in (*STAGES, OTHER)}


def _stage(function: str, path: Path) -> str:
    if path.parent.name != "alignd":
        return OTHER
    if function in _APPLYING:
        return "edits"
    return next((stage for stage, modules in STAGES.items() if path.stem in modules), OTHER)


def _cost_of_a_call() -> float:
    """Seconds that the profiler adds to a call."""

    def nothing() -> None:
        pass

    def call() -> float:
        started = time.perf_counter()
        for _ in range(_CALLS):
            nothing()
        return time.perf_counter() - started

    plain = call()
    profiler = cProfile.Profile(builtins=False)
    profiler.enable()
    profiled = call()
    profiler.disable()
    return (profiled - plain) / _CALLS
