"""`alignd reports`: say what receivers report of this relay's mail, and store it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import click

from alignd.cli.ledgers import Asked, is_there, takes_database
from alignd.cli.options import (
    EXIT_INCOMPLETE,
    FILE,
    ZONE,
    InputError,
    load_or_exit,
    open_lookups,
)
from alignd.cli.render.json import json_line
from alignd.cli.render.reports import Kept, report_json, report_lines
from alignd.cli.reports_summary import summary
from alignd.cli.text import print_lines, with_progress
from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.config.file import ConfigError
from alignd.config.imap_folder import ImapFolder
from alignd.config.settings import Configuration, ReportsOptions
from alignd.ledger.database import LedgerError, problem_of
from alignd.ledger.receivers.opening import ReceiversLedger
from alignd.ledger.receivers.rows import KnownReport, ReportKey
from alignd.mail.message import Message
from alignd.mail_store.messages import find_messages
from alignd.mailauth.dns import Lookup
from alignd.reports.carrier import Carrier, judge_carrier
from alignd.reports.collect import Collector
from alignd.reports.document import MissingLibraryError
from alignd.reports.imap import ImapError, ImapMailbox, open_mailbox
from alignd.reports.intake import STANDARD_INPUT, Found, find_in_file, find_parcels
from alignd.reports.ours import Ours
from alignd.reports.summary import Summary
from alignd.return_path.key_file import read_key_file

_EXIT_FAULT = 1
"""Mail of ours fails."""
_STDIN = "-"
_READ = "read"


class _PathsOrCommand(click.Group):
    """Commands, of which the one that reads is meant where none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are written."""
        del ctx
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take whatever begins with no command, and asks for no help, for paths and options."""
        is_plain = not args or args[0] in (*self.commands, *self.get_help_option_names(ctx))
        return super().parse_args(ctx, args if is_plain else [_READ, *args])


@click.command(_READ)
@click.argument("paths", metavar="[PATH]...", type=FILE, nargs=-1)
@click.option("--imap", "from_imap", is_flag=True, help="Read the mailbox of reports.imap.")
@click.option("--no-store", "only_looks", is_flag=True, help="Only look: store nothing.")
@ZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@takes_database
def read(
    asked: Asked,
    paths: tuple[Path, ...],
    from_imap: bool,
    only_looks: bool,
    zone: Path | None,
    as_json: bool,
) -> None:
    """Say what receivers report of this relay's mail, and store it.

    PATH is a report, plain or packed, a message, an mbox, a Maildir, a directory that is searched
    for them, or '-' for standard input. --imap reads a mailbox, in which nothing is changed unless
    reports.move_to says so. Each report counts once, however often it comes.

    A report that somebody answers for is stored in the ledger, once, with its messages by author
    domain, receiver and result: `alignd reports summary` holds that against what was predicted.

    What is told first is rewritten mail that fails: that is an outage. Then follow what else
    fails, and why; mail that was rewritten, by receiver; mail that kept its From, by author
    domain; addresses where a key of ours signs and SPF passes, but which the configuration does
    not have; and forwarding, which is no fault. Mail of domains that rules leave alone (exempt,
    and under rewrite_on = "enforced" those whose policy is none) is counted, and is no fault.

    A report counts for the domain whose mail brought it, by a DKIM signature that passes. One that
    anybody could have written, such as a file without its mail, is named, and decides nothing.

    Exit status 1 if mail of this relay fails; else 2 if something could not be read, verified or
    stored, or there is no report, except in a mailbox; else 0. Where there is no ledger, that is
    said, and is no reason for 2; neither is mail without a report in it.

    The object of --json has reports (counted, unverified, duplicates, unreadable_rows, begin and
    end, Unix times), stored (new and known, or null) and tables: receivers, rewritten (by
    receiver), domains (by author_domain), failures (origin, header_from, address, dkim, spf),
    unlisted and forwarded (by address), and unverified (organization, why, detail). Each has rows,
    and rest, what is beyond 1,000 of them. Rows count messages, passed, failed, foretold (those of
    them that a rule leaves alone), unknown, quarantined and rejected. foreign is mail of others;
    troubles (by kind) and problems (a list, the first hundred: name, trouble, problem) are what is
    no report.

    \b
    Examples:
      alignd reports ~/Maildir --no-store
      alignd reports --imap --json
    """
    if not paths and not from_imap:
        raise click.UsageError("Missing argument 'PATH' or option '--imap'.")
    configuration, signer = load_or_exit(asked.config, exit_status=EXIT_INCOMPLETE)
    suffixes = SuffixList()
    judge = _judge(open_lookups(zone, configuration.dns), suffixes)
    keeper = _Keeper() if only_looks else _keeper(asked, configuration)
    ours = Ours.of(configuration, signer.tables)
    collector = Collector(ours, judge, suffixes, keeper.keep)

    def show() -> None:
        _print(collector.summary, keeper.kept, as_json=as_json)
        keeper.require()

    try:
        for found in with_progress(_find(paths), lambda: _count(paths), "messages"):
            collector.take(found)
        if from_imap:
            _read_mailbox(configuration.reports, collector, show)
        else:
            show()
    except MissingLibraryError as error:
        raise InputError(str(error)) from error
    # A mailbox is empty most of the time; whoever names a path has something in mind.
    sys.exit(_exit_status(collector.summary, must_have_some=not from_imap))


@click.group(
    cls=_PathsOrCommand,
    commands={_READ: read, "summary": summary},
    subcommand_metavar="[PATH... | COMMAND [ARGS]...]",
)
def reports() -> None:
    """Say what receivers report of this relay's mail, from DMARC aggregate reports.

    `alignd reports PATH...` is short for `alignd reports read PATH...`: it reads reports, tells
    what they say, and stores them. `alignd reports summary` holds all that is stored against what
    alignd had predicted. Each takes --config, and --help says more.

    \b
    Examples:
      alignd reports ~/Maildir --config /etc/alignd/alignd.conf
      alignd reports --imap
      alignd reports summary --since 30d
    """


class _Keeper:
    """Stores reports in a ledger, where there is one, until that fails."""

    def __init__(self, ledger: ReceiversLedger | None = None, why_not: str = "") -> None:
        self.kept = Kept(why_not=why_not) if why_not or ledger else None
        self._ledger = ledger
        self._problem = ""

    def keep(self, report: KnownReport, rows: Mapping[ReportKey, int]) -> None:
        """Store *report*, unless it is there."""
        if self._ledger is None or self.kept is None or self._problem:
            return
        try:
            is_new = self._ledger.add_report(report, rows, time.time())
        except LedgerError as error:
            self._problem = f"{self._ledger.name}: {problem_of(error)}"
        else:
            self.kept = self.kept.with_one(is_new=is_new)

    def require(self) -> None:
        """Raise InputError if not all was stored, so that nothing is moved then."""
        if self._problem:
            raise InputError(
                f"{self._problem}; not all reports are stored: run this again, or with --no-store "
                "to only look"
            )


def _keeper(asked: Asked, configuration: Configuration) -> _Keeper:
    if asked.database:
        return _Keeper(ReceiversLedger(asked.url))
    ledger = ReceiversLedger.of(configuration.ledger, os.environ)
    if ledger is None:
        return _Keeper(why_not='ledger.url is ""')
    try:
        found = is_there(ledger.url)
    except InputError as error:
        raise InputError(f"{error.message}, or give --no-store to only look") from error
    return _Keeper(ledger) if found else _Keeper(why_not=f"{ledger.name} is not there")


def _judge(
    new_lookup: Callable[[], Lookup], suffixes: SuffixList
) -> Callable[[Message | None], Carrier]:
    providers = FreemailDomains()
    return lambda mail: judge_carrier(mail, new_lookup(), suffixes, providers, time.time())


def _find(paths: Iterable[Path]) -> Iterator[Found]:
    for path in paths:
        if str(path) == _STDIN:
            yield from find_in_file(STANDARD_INPUT, sys.stdin.buffer)
        else:
            yield from find_parcels([path])


def _count(paths: Iterable[Path]) -> int:
    found = (1 if str(path) == _STDIN else _length(find_messages(path)) for path in paths)
    return sum(found)


def _length(items: Iterable[object]) -> int:
    return sum(1 for _ in items)


def _read_mailbox(options: ReportsOptions, collector: Collector, show: Callable[[], None]) -> None:
    """Read and show; then move what is done, so that nothing is moved that was not told.

    Raises:
        InputError: that failed; what was read before is shown.
    """
    place = options.imap
    if place is None:
        raise InputError("reports.imap is not set: there is no mailbox to read")
    password = _password(options.password_file)
    is_shown = False
    try:
        with open_mailbox(place, password, may_change=bool(options.move_to)) as mailbox:
            done = _read_messages(mailbox, collector)
            is_shown = True
            show()
            for number in done if options.move_to else ():
                mailbox.move(number, options.move_to)
    except ImapError as error:
        if not is_shown and collector.summary.has_read:
            show()
        raise InputError(f"{_shown(place)}: {error}") from error


def _read_messages(mailbox: ImapMailbox, collector: Collector) -> list[int]:
    """The UIDs of the messages in which there are reports and nothing else was wrong."""
    done = []
    for number, parcels in with_progress(mailbox.messages(), mailbox.count, "messages"):
        taken = [collector.take(found) for found in parcels]
        if taken and all(taken):
            done.append(number)
    return done


def _password(path: str) -> str:
    try:
        password = read_key_file(path).strip("\r\n")
    except ConfigError as error:
        raise InputError("; ".join(map(str, error.problems))) from error
    if not password:
        raise InputError(f"{path}: there is no password in it")
    return password


def _shown(place: ImapFolder) -> str:
    return f"{place.host}/{place.folder}"


def _print(found: Summary, kept: Kept | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line(report_json(found, kept)))
    else:
        print_lines(report_lines(found, kept))


def _exit_status(found: Summary, *, must_have_some: bool) -> int:
    if found.has_fault:
        return _EXIT_FAULT
    is_empty = must_have_some and not found.reports
    return EXIT_INCOMPLETE if found.is_incomplete or is_empty else 0
