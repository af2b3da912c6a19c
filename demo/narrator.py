"""What the reader is told: what happens, and at the end what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from demo.outcome import Act, Comparison, Outcome

LAST_LINES = 20


class Narrator:
    """Writes to a console, with colour and a spinner where it is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that *text* is being done, and that it is done."""
        with self._console.status(text):
            yield
        self._show_mark("done", "cyan", text)

    def show(self, outcomes: Mapping[Act, Outcome]) -> None:
        """Write what came of every act, and how the whole story ended."""
        for number, (act, outcome) in enumerate(outcomes.items(), start=1):
            self._console.print()
            self._console.print(Rule(Text(f"Act {number}: {act.title}", "bold"), align="left"))
            self._console.print(Text(act.setting))
            self._console.print()
            self._show_outcome(outcome)
        self._console.print()
        self._console.print(Rule(Text("All in all", "bold"), align="left"))
        for number, (act, outcome) in enumerate(outcomes.items(), start=1):
            self._show_kept(outcome.as_promised, f"Act {number}: {act.promise}")

    def fail(self, text: str, log: Sequence[str] = ()) -> None:
        """Say what went wrong, with the lines of a log as they are."""
        self._console.print(Text(f"demo: {text}", "red"), soft_wrap=True)
        for line in log:
            self._console.print(Text(line), soft_wrap=True)

    def show_logs(self, directory: Path) -> None:
        """Write the end of every log below *directory*."""
        for log in sorted(directory.rglob("*.log")):
            if lines := log.read_text(errors="replace").splitlines()[-LAST_LINES:]:
                self.fail(f"the end of {log.relative_to(directory)}:", lines)

    def _show_outcome(self, outcome: Outcome) -> None:
        self._console.print(_facts(outcome))
        self._console.print()
        for check in outcome.checks:
            self._show_kept(check.kept, check.promise)
        if not outcome.as_promised:
            self.fail("what the mail servers logged about this message:", outcome.log)

    def _show_kept(self, kept: bool, promise: str) -> None:
        mark, style = ("ok", "green") if kept else ("NOT", "bold red")
        self._show_mark(mark, style, promise)

    def _show_mark(self, mark: str, style: str, text: str) -> None:
        self._console.print(Text.assemble((f"{mark:>4}", style), "  ", text))


def _facts(outcome: Outcome) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for comparison in outcome.comparisons:
        _add_comparison(table, comparison)
    table.add_row(outcome.server, "answers", Text(outcome.answer))
    for verdict in outcome.verdicts:
        table.add_row("", "writes", Text(verdict))
    return table


def _add_comparison(table: Table, comparison: Comparison) -> None:
    before, after = comparison.before, comparison.after
    if after is None:
        table.add_row(comparison.name, "sent", _shown(before))
    elif after == before:
        table.add_row(comparison.name, "same", _shown(before))
    else:
        table.add_row(comparison.name, "before", _shown(before))
        table.add_row("", "after", _shown(after))


def _shown(text: str) -> Text:
    return Text(text or "(none)")
