"""Where the time of a message goes, as a profiler in the worker sees it."""

from __future__ import annotations

import ast
import cProfile
import pstats
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alignd
from bench import setup
from bench.generator import Generator, Load
from tests.lab.processes import processor_seconds

STAGES = {
    "protocol": ("mta/session", "mta/libmilter"),
    "collecting": ("mta/transaction", "mail/message"),
    "memory": ("mta/judgement_cache", "mta/outbound_judge", "mta/lookahead", "resolver"),
    "decision": ("judgement", "mailauth", "mail", "config"),
    "edits": ("judgement/rewrite", "mail/display_name", "mta/session:_apply"),
    "log": ("telemetry/log",),
    "metrics": ("telemetry/metrics", "telemetry/counters"),
}
"""What each stage is made of: packages, modules and functions; the most exact name counts."""
OTHER, NATIVE = "other Python", "libmilter, pymilter, kernel"
PACKAGE = Path(alignd.__file__).parent
_STAGE_OF = {name: stage for stage, names in STAGES.items() for name in names}
_CALLS = 200_000  # by which the profiler itself is measured
_SECONDS = 8.0
_WARMING = 3_000  # messages after which every author is known


@dataclass(frozen=True, slots=True)
class Profile:
    """What one message costs, stage by stage."""

    microseconds: dict[str, float]
    """The Python of alignd by stage, with the system calls that it waits for, and all the rest."""


def profile(generator: Generator, directory: Path, nameserver: str) -> Profile:
    """Profile the one worker of an alignd of its own, with one message after another.

    Raises:
        LookupError: a stage names what there is not, whose time would count for another.
    """
    if unknown := unknown_names():
        raise LookupError(f"no such package, module or function: {', '.join(unknown)}")
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
        seconds[stage_of(function, Path(path))] += max(0.0, own - calls * added)
    return {stage: seconds[stage] / messages * 1e6 for stage in (*STAGES, OTHER)}


def stage_of(function: str, path: Path) -> str:
    """The stage that the time of a function in the file at *path* counts for."""
    if not path.is_relative_to(PACKAGE):
        return OTHER
    module = path.relative_to(PACKAGE).with_suffix("")
    names = (f"{module}:{function}", module.as_posix(), *map(Path.as_posix, module.parents))
    return next((_STAGE_OF[name] for name in names if name in _STAGE_OF), OTHER)


def unknown_names(names: Iterable[str] = _STAGE_OF) -> list[str]:
    """Which of *names* no package, module or function has."""
    return [name for name in names if not _exists(name)]


def _exists(name: str) -> bool:
    module, _colon, function = name.partition(":")
    path = PACKAGE / f"{module}.py"
    if not function:
        return path.is_file() or (PACKAGE / module).is_dir()
    nodes = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in nodes)


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
