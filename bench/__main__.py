"""Runs the benchmark, and writes docs/bench.md and its picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console

from alignd.config.settings import MilterOptions
from bench import (
    generator,
    growth,
    page,
    peers,
    plot,
    reading,
    setup,
    speed,
    stages,
    through_postfix,
    trifles,
    with_ledger,
    with_readers,
    workers,
)
from bench.page import OVER_TCP, OVER_UNIX, Results
from tests.lab import postfix, unbound
from tests.lab.namespaces import furnish, run_isolated
from tests.lab.syslog import record_syslog

_DOCS = Path(__file__).parents[1] / "docs"
_MANY_DOMAINS = 100_000
_DNS_PORT = 53
_TCP_PORT = 8897
_RUNS = speed.Runs()
_PARTS_OF_MAIL = ("speed", "workers", "postfix", "figures", "stages", "growth", "ledger", "page")
_PARTS = (*_PARTS_OF_MAIL, "reports")

Tell = Callable[[str], None]


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(_PARTS))
@click.option("--rounds", type=click.IntRange(min=1), default=_RUNS.rounds, show_default=True)
@click.option("--seconds", type=float, default=_RUNS.seconds, show_default=True, help="Of a run.")
@click.option("--warming", type=click.IntRange(min=1), default=_RUNS.warming, show_default=True)
@click.option(
    "--reports",
    type=click.IntRange(min=1),
    default=reading.REPORTS,
    show_default=True,
    help=f"That are read, of {reading.ROWS} rows each.",
)
@click.option(
    "--peers/--no-peers", "has_peers", default=True, help="Beside other makers' milters, too."
)
@click.option("--inside", type=click.Path(path_type=Path), hidden=True)
@click.option("--page", "where", type=click.Path(path_type=Path), help="Where to write the page.")
def main(  # noqa: PLR0913  click passes one argument for each option
    parts: tuple[str, ...],
    rounds: int,
    seconds: float,
    warming: int,
    reports: int,
    inside: Path | None,
    where: Path | None,
    *,
    has_peers: bool,
) -> None:
    """Measure PARTS, or everything.

    Everything is written to docs/bench.md; parts are written where --page says. The exit status is
    0 if it could be measured, whatever came of it.
    """
    console = Console(highlight=False)
    # Debian keeps these directories from users, also from one who became root with su.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    if obstacle := postfix.obstacle() or unbound.obstacle():
        console.print(f"bench: {obstacle}; `make packages` installs what is missing")
        sys.exit(1)
    if inside is None:
        command = [sys.executable, "-m", "bench", *sys.argv[1:], "--inside"]
        sys.exit(run_isolated(command))
    furnish(inside, ["192.0.2.7"], "127.0.0.1")
    inside.chmod(0o755)
    record_syslog(Path("/dev/log"), inside / "syslog.log")
    with console.status("bench") as status:
        runs = speed.Runs(rounds, seconds, warming)
        starts = peers.STARTS if has_peers else ()
        results = _measure(parts or _PARTS, runs, inside, status.update, starts)
        if not parts or "reports" in parts:
            results.reading = reading.measure(inside / "reports", reports, status.update)
    target = where or (None if parts else _DOCS / "bench.md")
    picture = (target or _DOCS / "bench.md").with_suffix(".svg")
    text = page.written(results, picture.name)
    if target is not None:
        target.write_text(text)
        if results.speeds:
            plot.draw(results.speeds, picture)
    console.print(text, markup=False, soft_wrap=True)
    for goal in page.missed(results):
        console.print(f"bench: not reached: {goal}", markup=False)


def _measure(
    parts: tuple[str, ...],
    runs: speed.Runs,
    directory: Path,
    tell: Tell,
    starts: Sequence[peers.Start],
) -> Results:
    results = Results(MilterOptions().workers_on(len(os.sched_getaffinity(0))))
    load = generator.build(directory)
    domains = setup.DOMAINS
    if "page" in parts:
        domains = with_readers.DOMAINS
    if "growth" in parts:
        domains = _MANY_DOMAINS
    tell("DNS")
    with unbound.run_unbound(setup.zone(domains), _DNS_PORT):
        if "speed" in parts or "postfix" in parts:
            _measure_beside(parts, runs, directory, load, tell, starts, results)
        if "workers" in parts:
            results.crews = list(workers.measure(load, directory, "127.0.0.1", tell, runs))
        if "figures" in parts:
            tell("single figures")
            results.figures = list(trifles.measure(load, directory / "trifles", "127.0.0.1"))
        if "stages" in parts:
            tell("where the time goes")
            results.profile = stages.profile(load, directory / "stages", "127.0.0.1")
        if "growth" in parts:
            results.costs = list(growth.measure(load, directory, "127.0.0.1", tell))
        if "ledger" in parts:
            place = directory / "ledger"
            place.mkdir()
            results.with_ledger = list(with_ledger.measure(load, place, "127.0.0.1", tell, runs))
        if "page" in parts:
            place = directory / "page"
            found = with_readers.measure(load, place, "127.0.0.1", tell, runs)
            results.with_readers = list(found)
    return results


def _measure_beside(
    parts: tuple[str, ...],
    runs: speed.Runs,
    directory: Path,
    load: generator.Generator,
    tell: Tell,
    starts: Sequence[peers.Start],
    results: Results,
) -> None:
    beside = directory / "beside"
    beside.mkdir()
    with setup.run_ours(beside, "127.0.0.1") as alignd:
        ours = peers.Peer(speed.OURS, alignd.socket)
        others = [each(beside, results.workers) for each in (peers.start_empty, peers.start_kept)]
        for start in starts:
            try:
                others.append(start(beside, results.workers))
            except peers.MissingError as error:
                results.missing.append(str(error))
        tell("warming up")
        speed.warm(load, ours, results.workers, runs)
        if "speed" in parts:
            results.speeds = speed.measure(load, ours, others, tell, runs)
        if "postfix" in parts:
            results.relays = _measure_relays(beside, alignd.socket, others, tell)


def _measure_relays(
    directory: Path, ours: str, others: list[peers.Peer], tell: Tell
) -> list[through_postfix.Relay]:
    over_tcp = directory / "tcp"
    over_tcp.mkdir()
    socket = f'socket = "inet:{_TCP_PORT}@127.0.0.1"'
    with setup.run_ours(over_tcp, "127.0.0.1", milter=socket):
        milters = {
            through_postfix.ALONE: "",
            OVER_UNIX: ours,
            OVER_TCP: f"inet:127.0.0.1:{_TCP_PORT}",
            **{peer.name: peer.socket for peer in others if peer.socket.startswith("unix:")},
        }
        return through_postfix.measure(milters, directory, tell)


if __name__ == "__main__":
    main()
