"""`alignd feedback`: hold what receivers answered against what alignd did."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from alignd.cli.commands.serve import open_standard_streams
from alignd.cli.options import CONFIG, EXIT_INCOMPLETE, FILE, InputError, print_problems
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
from alignd.config.file import ConfigError, load_configuration
from alignd.config.settings import Configuration
from alignd.feedback.disagreement import Disagreement
from alignd.feedback.join import Alert, Join
from alignd.feedback.reading import Reading
from alignd.feedback.source import JournalSource, open_source
from alignd.feedback.state import State, StateError, load, save
from alignd.mail.printable import printable

_EXIT_DISAGREEMENT = 1
"""A receiver contradicts what alignd thought of a message."""
_PAUSE = 0.5
"""Seconds until a log is looked at again."""
_SAVE_SECONDS = 5.0
_Tell = Callable[[Disagreement | Alert], None]
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_AGO = re.compile(r"([0-9]{1,6})([mhd])")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says."""

    log: Path | None
    """The file; None for the journal."""
    state: Path | None
    since: float | None
    config: Path

    @property
    def name(self) -> str:
        """How the state names the log."""
        return "" if self.log is None else str(self.log.absolute())


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


def _takes_log(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* what says which log is read, from where on, as one."""

    @click.argument("log", type=FILE, required=False)
    @click.option(
        "--state",
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
    @CONFIG
    @wraps(command)
    def with_log(
        log: Path | None, state: Path | None, since: float | None, config: Path, **others: Any
    ) -> None:
        command(asked=_Asked(log, state, since, config), **others)

    return with_log


@click.command()
@_takes_log
@click.option("--follow", is_flag=True, help="Go on as the log grows, until TERM or INT.")
@click.option(
    "--record",
    is_flag=True,
    help="With --follow and --state: write what receivers say to the ledger, as a service.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def feedback(
    context: click.Context, asked: _Asked, follow: bool, record: bool, as_json: bool
) -> None:
    """Say which mail receivers refuse as not authenticated, against what alignd thought of it.

    LOG is a file with the lines of both Postfix and alignd, such as /var/log/syslog; without it,
    what feedback.log names is read, which is systemd's journal by default. Replies are joined
    with decisions by queue id. No address and nothing of a message is printed or kept.

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

    With --record it is a service, as alignd-feedback.service starts it. All replies are counted in
    the ledger, and an alert is an event there, of which [notify] tells. What came before it was
    first started does not count, if --since does not say so. Its log goes to standard error.

    Exit status 0 if no receiver contradicts alignd; 1 if one does; 2 if the log or the file of
    --state cannot be used. With --record: 0; 78 if the configuration is wrong or wants no ledger.

    The object of --json has rows (a list: kind, tenant, domain, action, reason, receiver,
    pattern, says, messages, last, a Unix time, and fix) and left_out, messages beyond 10,000
    rows. With --follow, each line is an object: a reply (kind, queue_id, tenant, domain, action,
    reason, receiver, pattern, says, final, time and fix) or an alert (alert, tenant, domain,
    receiver, messages, pattern and time).

    \b
    Examples:
      alignd feedback /var/log/syslog
      alignd feedback --since 1d --json
      alignd feedback --follow --state ~/feedback.json
      alignd feedback --follow --record --state /var/lib/alignd/feedback.json
    """
    if record:
        if asked.state is None or not follow or as_json:
            raise click.UsageError("--record needs --follow and --state, and excludes --json")
        _record(asked, asked.state)
    asked = _configured(context, asked)
    tell = (_tell_json if as_json else _tell_text) if follow else None
    with _reported():
        state = _read(asked, tell)
    if not follow:
        _print_table(state, as_json=as_json)
    sys.exit(_EXIT_DISAGREEMENT if state.tally.has_disagreement else 0)


def _read(asked: _Asked, tell: _Tell | None) -> State:
    """Read the log to its end, or with *tell* to that of the command; the state then."""
    state = State(asked.name) if asked.state is None else load(asked.state, asked.name)
    is_followed = tell is not None
    with closing(
        open_source(asked.log, state, asked.since, datetime.now, follow=is_followed)
    ) as source:
        reading = Reading(source, state, asked.since, Join(SuffixList()), time.time)
        _Run(reading, state, partial(_save, asked.state, state)).to_the_end(tell)
    if is_followed:
        return state
    if isinstance(source, JournalSource) and source.exit_status:
        raise InputError(f"journalctl ended with status {source.exit_status}")
    if not (reading.entries or reading.is_resumed):  # which is no proof that nothing was refused
        raise InputError(f"{asked.name or 'the journal'}: no line of Postfix or alignd in it")
    return state


def _configured(context: click.Context, asked: _Asked) -> _Asked:
    """The same with the file that `feedback.log` names, where the command line names none.

    It is the journal, too, on a machine without a configuration.
    """
    is_asked_for = context.get_parameter_source("config") is ParameterSource.COMMANDLINE
    if asked.log is not None or not (is_asked_for or asked.config.exists()):
        return asked
    return replace(asked, log=_log_of(_loaded(asked.config, EXIT_INCOMPLETE)))


def _log_of(configuration: Configuration) -> Path | None:
    path = configuration.feedback.path
    return Path(path) if path else None


def _loaded(config: Path, exit_status: int) -> Configuration:
    try:
        return load_configuration(config)
    except ConfigError as error:
        print_problems(error)
        sys.exit(exit_status)


def _record(asked: _Asked, state: Path) -> NoReturn:
    """Run the service, and exit."""
    # Imported here: who only reads a log needs no database.
    from alignd.ledger.receivers.opening import ReceiversLedger  # noqa: PLC0415
    from alignd.service.feedback.service import FeedbackService, FeedbackSetup  # noqa: PLC0415
    from alignd.telemetry.log import MessageLog  # noqa: PLC0415

    open_standard_streams()
    configuration = _loaded(asked.config, os.EX_CONFIG)
    ledger = ReceiversLedger.of(configuration.ledger, os.environ)
    if ledger is None:
        click.echo(
            f'{printable(str(asked.config))}: there is no ledger: ledger.url is ""', err=True
        )
        sys.exit(os.EX_CONFIG)
    relay = configuration.ledger.name_of(configuration.relay)
    log = asked.log or _log_of(configuration)
    setup = FeedbackSetup(log, state, ledger, relay, asked.since)
    with _reported():
        sys.exit(FeedbackService(setup, MessageLog(sys.stderr), os.environ).run())


@contextmanager
def _reported() -> Iterator[None]:
    """Report what is wrong with the log or the state."""
    try:
        yield
    except StateError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise InputError(f"{error.filename}: {error.strerror}") from error


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
    """One reading of a log, up to its end or a signal."""

    reading: Reading
    state: State
    save: Callable[[], None]
    is_stopped: bool = False

    def to_the_end(self, tell: _Tell | None) -> None:
        """Read it; with *tell*, it is followed."""
        if tell is not None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
        self.reading.learn(lambda: self.is_stopped)
        due = time.monotonic() + _SAVE_SECONDS
        while not self.is_stopped and (found := self.reading.next(_PAUSE)) is not None:
            for each in found:
                if isinstance(each, Disagreement):
                    self.state.tally.add(each)
                if tell is not None:
                    tell(each)
            if time.monotonic() >= due:
                self.save()
                due = time.monotonic() + _SAVE_SECONDS
        self.save()

    def _stop(self, _number: int, _frame: object) -> None:
        self.is_stopped = True
