"""Runs storms one by one, and shows on a console how they go and what came of them."""

from __future__ import annotations

import time

from rich.console import Console
from rich.text import Text

from storm.accounts import StalledError
from storm.run import Order, Outcome, Result, Storm


class ProgressDisplay:
    """Writes to a console, with a line that moves where it is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def brew(self, storm: Storm, messages: int, seed: int, only: tuple[str, ...] = ()) -> Result:
        """Run one storm, and show how it goes and what came of it."""
        started = time.monotonic()
        with self._console.status(storm.name) as status:

            def show(done: int, total: int) -> None:
                elapsed = time.monotonic() - started
                status.update(f"{storm.name}: {done:,} of {total:,}, {elapsed:.0f} s")

            order = Order(messages, seed, show, only)
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
