"""Becomes root, steps into namespaces of its own, and plays the acts there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from demo.journey import RefusedError
from demo.narrator import Narrator
from demo.play import PLAY
from demo.servers import run_servers
from tests.lab import namespaces
from tests.lab.processes import StartError, missing_programs

PROGRAMS = ("unbound", "postfix", "opendkim", "opendkim-genkey", "opendmarc", "ip")

FAILED = 1
INTERRUPTED = 130
TERMINATED = 143


def main(arguments: list[str]) -> int:
    """Play the demo; with a directory as argument, we are in the namespaces already."""
    # A shell starts what runs in its background with Ctrl-C ignored, and the daemons do not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    narrator = Narrator(Console(highlight=False))
    # Debian keeps these directories from users, also from one who became root with su.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    try:
        if arguments:
            return play(Path(arguments[0]), narrator)
        return step_inside(narrator)
    except KeyboardInterrupt:
        return INTERRUPTED


def step_inside(narrator: Narrator) -> int:
    """Run this program again, as root and in namespaces of its own."""
    if missing := missing_programs(PROGRAMS):
        narrator.fail(f"not installed: {', '.join(missing)}; `make packages` installs them")
        return FAILED
    ourselves = [sys.executable, "-m", "demo"]
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            narrator.fail("needs root, to make a network of its own and to run Postfix in it")
            return FAILED
        # Root must not leave compiled files that the user cannot remove.
        os.execvp("sudo", ["sudo", "--", "env", "PYTHONDONTWRITEBYTECODE=1", *ourselves])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    return namespaces.run_isolated(ourselves)


def play(directory: Path, narrator: Narrator) -> int:
    """Play the acts and return 0 if all came out as promised."""
    outcomes = {}
    try:
        with run_servers(directory, narrator.step) as servers:
            for act in PLAY:
                with narrator.step(act.title):
                    outcomes[act] = act.play(servers)
    except (StartError, RefusedError, OSError, subprocess.CalledProcessError) as error:
        narrator.fail(str(error))
        narrator.show_logs(directory)
        return FAILED
    narrator.show(outcomes)
    if not all(outcome.as_promised for outcome in outcomes.values()):
        narrator.show_logs(directory)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
