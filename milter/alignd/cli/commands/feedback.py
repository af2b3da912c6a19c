"""`alignd feedback`: hold what receivers answered against what alignd did."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from alignd.cli.options import FILE, InputError
from alignd.cli.render.feedback import (
    alert_json,
    alert_lines,
    disagreement_json,
    disagreement_lines,
    tally_json,
    tally_lines,
)
from alignd.cli.render.json import json_line
from alignd.cli.text import print_lines
from alignd.config.domain_lists import SuffixList
from alignd.feedback.disagreement import Disagreement
from alignd.feedback.join import Alert, Join
from alignd.feedback.source import FileSource, JournalSource, Source
from alignd.feedback.state import State, StateError, load, save

_EXIT_DISAGREEMENT = 1
"""A receiver contradicts what alignd thought of a message."""
_PAUSE = 0.5
"""Seconds until a log is looked at again."""
_SAVE_SECONDS = 5.0
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_AGO = re.compile(r"([0-9]{1,6})([mhd])")


class _Since(click.ParamType[float]):
    """A time: so long ago, or a date."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if match := _AGO.fullmatch(value):
            return time.time() - int(match[1]) * _UNITS[match[2]]
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            problem = f"write '30m', '12h', '7d' or a date such as 2026-11-28, not {value!r}"
            self.fail(problem, param, ctx)


@click.command()
@click.argument("log", type=FILE, required=False)
@click.option("--follow", is_flag=True, help="Go on as the log grows, until TERM or INT.")
@click.option(
    "--state",
    "state_path",
    metavar="FILE",
    type=FILE,
    help="Keep the place and the counts in this file, and go on there the next time.",
)
@click.option(
    "--since",
    metavar="TIME",
    type=_Since(),
    help="Only replies since then: '30m', '12h' or '7d' ago, or a date.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def feedback(
    log: Path | None, follow: bool, state_path: Path | None, since: float | None, as_json: bool
) -> None:
    """Say which mail receivers refuse as not authenticated, against what alignd thought of it.

    LOG is a file with the lines of both Postfix and alignd, such as /var/log/syslog; without it,
    systemd's journal is read. Replies are joined with decisions by queue id. No address and
    nothing of a message is printed or kept.

    The table says what alignd did with the mail of an author domain, which receiver said what of
    how many messages, and what to do. A message counts once for each receiver. First comes what
    contradicts alignd: lost (it would pass, and a receiver says that it fails), outage (it was
    rewritten, and fails) and envelope (the envelope sender fails). The rest does not: foretold
    (alignd knew, and a rule or dry_run left it alone), advice (a receiver asks for something
    else), bounce (it is one that this Postfix has written), outside (alignd did not look at it)
    and unknown (alignd's line on it was not found).

    With --follow, each reply is printed as it comes, and an alert when a receiver has refused
    three such messages within an hour, or one that was rewritten. A log that is rotated is
    followed.

    Exit status 0 if no receiver contradicts alignd; 1 if one does; 2 if the log or the file of
    --state cannot be used.

    The object of --json has rows (a list: kind, tenant, domain, action, reason, receiver,
    pattern, says, messages, last, a Unix time, and fix) and left_out, messages beyond 10,000
    rows. With --follow, each line is an object: a reply (kind, queue_id, tenant, domain, action,
    reason, receiver, pattern, says, final, time and fix) or an alert (alert, tenant, domain,
    receiver, messages and time).

    \b
    Examples:
      alignd feedback /var/log/syslog
      alignd feedback --since 1d --json
      alignd feedback --follow --state /var/lib/alignd/feedback.json
    """
    name = "" if log is None else str(log.absolute())
    try:
        state = State(name) if state_path is None else load(state_path, name)
        with closing(_source(log, state, since, is_followed=follow)) as source:
            tell = _tell_json if as_json else _tell_text
            run = _Run(source, state, since, partial(_save, state_path, state))
            run.to_the_end(tell if follow else None)
            is_empty = not (run.entries or run.is_resumed or follow)
    except StateError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise InputError(f"{error.filename}: {error.strerror}") from error
    if isinstance(source, JournalSource) and source.exit_status and not follow:
        raise InputError(f"journalctl ended with status {source.exit_status}")
    if is_empty:  # which is no proof that nothing was refused
        raise InputError(f"{name or 'the journal'}: no line of Postfix or alignd in it")
    if not follow:
        _print_table(state, as_json=as_json)
    sys.exit(_EXIT_DISAGREEMENT if state.tally.has_disagreement else 0)


def _source(log: Path | None, state: State, since: float | None, *, is_followed: bool) -> Source:
    if log is None:
        return JournalSource(state, since, follow=is_followed)
    return FileSource(log, state, datetime.now, follow=is_followed)


def _save(path: Path | None, state: State) -> None:
    if path is not None:
        save(path, state)


def _print_table(state: State, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line(tally_json(state.tally)))
    else:
        print_lines(tally_lines(state.tally))


def _tell_json(each: Disagreement | Alert) -> None:
    values = alert_json(each) if isinstance(each, Alert) else disagreement_json(each)
    click.echo(json_line(values))


def _tell_text(each: Disagreement | Alert) -> None:
    print_lines(alert_lines(each) if isinstance(each, Alert) else disagreement_lines(each))


@dataclass(slots=True)
class _Run:
    """One reading of a source, up to its end or a signal."""

    source: Source
    state: State
    since: float | None
    save: Callable[[], None]
    join: Join = field(default_factory=lambda: Join(SuffixList()))
    is_stopped: bool = False
    entries: int = 0
    """That were read."""

    @property
    def is_resumed(self) -> bool:
        """Whether something was read before."""
        return self.state.last is not None or bool(self.state.tally.rows())

    def to_the_end(self, tell: Callable[[Disagreement | Alert], None] | None) -> None:
        """Read it; with *tell*, it is followed."""
        if tell is not None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
        was_told = self.is_resumed
        for entry in self.source.earlier():
            self.entries += 1
            if was_told:  # a message that Postfix tries again is not to count again
                self.join.take(entry, time.time())
            else:
                self.join.learn(entry)
            if self.is_stopped:
                return
        due = time.monotonic() + _SAVE_SECONDS
        while not self.is_stopped and (entries := self.source.read(_PAUSE)) is not None:
            self.entries += len(entries)
            for entry in entries:
                for each in self.join.take(entry, time.time()):
                    self._count(each, tell)
            self.source.mark()
            if time.monotonic() >= due:
                self.save()
                due = time.monotonic() + _SAVE_SECONDS
        self.save()

    def _count(
        self,
        each: Disagreement | Alert,
        tell: Callable[[Disagreement | Alert], None] | None,
    ) -> None:
        is_old = self.since is not None and each.when is not None and each.when < self.since
        if is_old:
            return
        if isinstance(each, Disagreement):
            self.state.tally.add(each)
        if tell is not None:
            tell(each)

    def _stop(self, _number: int, _frame: object) -> None:
        self.is_stopped = True
