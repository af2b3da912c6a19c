"""Runs `alignd serve` with a profiler (cProfile) in its worker, and writes down what that saw.

Used as `python -m bench.profiled STATISTICS SKIPPED python -m alignd serve ...`. It profiles
the connections of one worker but the first SKIPPED, in which authors become known. They have to
come one after another: interleaved, the work for one would count for another.
"""

from __future__ import annotations

import cProfile
import itertools
import sys

import milter

from alignd.cli.main import main as alignd
from alignd.mta import libmilter
from alignd.service.worker import Worker


def main(statistics: str, skipped: int, arguments: list[str]) -> None:
    """Serve as `alignd` does with these *arguments*."""
    profiler = cProfile.Profile(builtins=False)
    numbers = itertools.count()
    begin, run = libmilter.Sessions.begin, Worker.run

    def begin_profiled(
        sessions: libmilter.Sessions, context: milter.milterContext, offer: list[int]
    ) -> int:
        if next(numbers) >= skipped:
            profiler.enable()  # in this thread, which Python does not know otherwise
        return begin(sessions, context, offer)

    def run_and_tell(worker: Worker, heartbeat: int) -> int:
        try:
            return run(worker, heartbeat)
        finally:
            profiler.create_stats()
            profiler.dump_stats(statistics)

    libmilter.Sessions.begin = begin_profiled  # type: ignore[assignment,method-assign]
    Worker.run = run_and_tell  # type: ignore[assignment,method-assign]
    alignd(arguments)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[sys.argv.index("alignd") + 1 :])
