"""Brews the storms that are asked for, or all of them, and writes the page of all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
from rich.console import Console

from storm.faults import FAULTS
from storm.mail_path import MEMORY
from storm.page import write_page
from storm.progress import ProgressDisplay
from storm.table import STORMS
from tests.lab import places, postfix, unbound
from tests.lab.namespaces import ISOLATED

PAGE = places.ROOT / "docs/storms.md"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([storm.name for storm in STORMS]))
@click.option("--messages", type=click.IntRange(min=1), help="How many, instead of the default.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of all that is random.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice([fault.name for fault in FAULTS]),
    help="Of the storm `world`, this fault alone; may be repeated.",
)
@click.option("--inside", is_flag=True, hidden=True)
@click.option("--page", type=click.Path(path_type=Path), help="Where to write what came of it.")
def main(
    names: tuple[str, ...],
    messages: int | None,
    seed: int,
    faults: tuple[str, ...],
    page: Path | None,
    *,
    inside: bool,
) -> None:
    """Brew the storms called NAMES, or all of them.

    All of them, at their full size, are written to docs/storms.md; others where --page says. The
    exit status is 0 if every promise was kept.
    """
    display = ProgressDisplay(Console(highlight=False))
    # Debian keeps these directories from users, also from one who became root with su.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    if obstacle := postfix.obstacle() or unbound.obstacle():
        display.fail(f"{obstacle}; `make packages` installs what is missing")
        sys.exit(1)
    if not inside:
        sys.exit(_step_inside())
    _furnish()
    chosen = [storm for storm in STORMS if not names or storm.name in names]
    results = [display.brew(storm, messages or storm.messages, seed, faults) for storm in chosen]
    if where := page or (PAGE if not (names or messages or faults) else None):
        write_page(where, results)
    sys.exit(1 if any(result.outcome.broken for result in results) else 0)


def _step_inside() -> int:
    """Run this program again, in namespaces that leave nothing behind however it ends."""
    command = [*ISOLATED, sys.executable, "-m", "storm", "--inside", *sys.argv[1:]]
    return subprocess.run(command, check=False).returncode


def _furnish() -> None:
    """Prepare the namespaces: a loopback that is up, and memory for the queue."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "storm", MEMORY], check=True)


if __name__ == "__main__":
    main()
