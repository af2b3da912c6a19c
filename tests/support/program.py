"""Runs a program of the tests, which steps into namespaces of its own."""

import os
import subprocess
import sys
from collections.abc import Iterable

from tests.lab.places import ROOT


def run_program(
    module: str, *arguments: str, lines: Iterable[str] = (), timeout: float
) -> list[str]:
    """Run *module* with *lines* to read, for at most *timeout* seconds; the lines it writes."""
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()
