"""Where the time of a message goes, by a sampling profiler (py-spy) that looks at a worker."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.generator import Generator, Load
from bench.usage import processor_seconds
from bench.world import EDITS
from tests.support.readiness import wait_until

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
NATIVE = "libmilter, pymilter, kernel"
_RATE = 1_000  # samples a second
_SECONDS = 8
_FRAME = re.compile(r"([\w.<>]+) \((?:.*/)?alignd/(\w+)\.py:\d+\)")
_APPLYING = frozenset({"Session._apply", "Session._carry_out", "_apply", "_carry_out"})


class NoProfilerError(RuntimeError):
    """py-spy is not here, or may not look."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What one message costs, stage by stage."""

    microseconds: dict[str, float]
    """Of processor time; the Python of alignd by stage, and all the rest."""


def profile(generator: Generator, socket: str, pid: int, directory: Path) -> Profile:
    """Look at the worker *pid*, the only one behind *socket*, while it is under load.

    Raises:
        NoProfilerError: there is no profiler.
    """
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise NoProfilerError("py-spy is not installed")
    raw = directory / "profile"
    command: list[str | Path] = [
        program,
        "record",
        "--gil",
        # A process that is halted for each look is missed where it is busiest (measured).
        "--nonblocking",
        "--format",
        "raw",
        "--rate",
        str(_RATE),
    ]
    spy = subprocess.Popen(
        [*command, "--duration", str(_SECONDS), "--pid", str(pid), "--output", raw],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = processor_seconds(pid)
    run = generator.run(socket, Load(2, 1_000_000, _SECONDS, edits=EDITS))
    used = processor_seconds(pid) - before
    wait_until(lambda: spy.poll() is not None, "py-spy to end", 30)
    if spy.returncode != 0 or not raw.exists():
        raise NoProfilerError(f"py-spy: status {spy.returncode}")
    samples = _by_stage(raw.read_text())
    found = {
        stage: samples[stage] / _RATE / run.messages * 1e6 for stage in (*STAGES, "other Python")
    }
    found[NATIVE] = used / run.messages * 1e6 - sum(found.values())
    return Profile(found)


def _by_stage(raw: str) -> Counter[str]:
    """Samples of the stage that the innermost function of alignd belongs to."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if not stack:
            continue  # pymilter itself has the interpreter's lock
        frames = _FRAME.findall(stack)
        counts[_stage(*frames[-1]) if frames else "other Python"] += int(count)
    return counts


def _stage(function: str, module: str) -> str:
    if function in _APPLYING:
        return "edits"
    return next((stage for stage, modules in STAGES.items() if module in modules), "other Python")
