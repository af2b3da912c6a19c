"""Tells the reader how the storms go, and writes the page of what came of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from storm.ledger import StalledError
from storm.run import Order, Outcome, Storm
from tests.lab import machine

ROOT = Path(__file__).parents[1]

_INTRODUCTION = """\
# Storms

What `make storm` saw last: alignd under failure, load and change. Mail goes through a real \
Postfix, in the queue-first layout (`conf/postfix/queue-first/`) unless the line says otherwise, \
with the queue in memory. Every message is known by its Message-ID and looked at as it arrives: \
*lost* was taken and never arrived, *unrewritten* left as it came though it had to be rewritten, \
*half-changed* is anything between. *Put off* is what Postfix tried again by itself.

Times that an operator has in minutes are in seconds here: Postfix tries again after 1 s \
(30 s in `conf/postfix/`), what ended is started again at once (`RestartSec=1s` in the unit), and \
in the outage of DNS answers expire after 1 s (an hour by default).

"""
_LEGEND = """
A macro packet with an odd number of strings is the one kind of nonsense that ends a worker: \
`smfi_getsymval` of libmilter 8.17 steps over pairs of strings and reads past an odd end. No MTA \
sends one. They are sent last, and counted apart: the supervisor replaces the worker, and what it \
was serving is a temporary failure for Postfix.

The p99 of the outage is of all messages once the last worker's breaker is open. In the endurance \
every 10th message is compared whole, the others by the kind of answer.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """A storm that is over."""

    storm: Storm
    order: Order
    outcome: Outcome
    seconds: float


class Report:
    """Writes to a console, with a line that moves where it is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def brew(self, storm: Storm, messages: int, seed: int) -> Result:
        """Run one storm, and show how it goes and what came of it."""
        started = time.monotonic()
        with self._console.status(storm.name) as status:

            def show(done: int, total: int) -> None:
                elapsed = time.monotonic() - started
                status.update(f"{storm.name}: {done:,} of {total:,}, {elapsed:.0f} s")

            order = Order(messages, seed, show)
            try:
                outcome = storm.play(order)
            except (StalledError, TimeoutError, OSError, RuntimeError) as error:
                outcome = Outcome((), (f"ended early: {error}",))
        result = Result(storm, order, outcome, time.monotonic() - started)
        self._show(result)
        return result

    def fail(self, text: str) -> None:
        """Say what went wrong."""
        self._console.print(Text(f"storm: {text}", "red"), soft_wrap=True)

    def _show(self, result: Result) -> None:
        broken = result.outcome.broken
        mark, style = ("NOT", "bold red") if broken else ("ok", "green")
        figures = "; ".join(result.outcome.figures)
        line = f"  {result.storm.name}: {result.storm.claim}: {figures}; {result.seconds:.0f} s"
        self._console.print(Text.assemble((f"{mark:>4}", style), line), soft_wrap=True)
        for promise in broken:
            self.fail(f"{result.storm.name}: not as promised: {promise}")


def write_page(path: Path, results: list[Result]) -> None:
    """Write the page of these results."""
    path.parent.mkdir(exist_ok=True)
    lines = ["| storm | held | what came of it | time |\n|---|---|---|---|\n"]
    lines += [_row(result) for result in results]
    commands = [_command(result) for result in results]
    repeat = "\nEach line is repeated by\n\n```sh\n" + "".join(commands) + "```\n"
    path.write_text(f"{_INTRODUCTION}{machine.described()}\n" + "".join(lines) + _LEGEND + repeat)


def _row(result: Result) -> str:
    held = "**no**" if result.outcome.broken else "yes"
    shown = "; ".join((*result.outcome.figures, *_early(result.outcome)))
    what = f"**{result.storm.name}**: {result.order.messages:,}, {result.storm.claim}"
    return f"| {what} | {held} | {shown} | {result.seconds:.0f} s |\n"


def _early(outcome: Outcome) -> tuple[str, ...]:
    return tuple(promise for promise in outcome.broken if promise not in outcome.figures)


def _command(result: Result) -> str:
    order = result.order
    name = result.storm.name
    return f"python -m storm {name} --messages {order.messages} --seed {order.seed}\n"
