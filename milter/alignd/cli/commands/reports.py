"""`alignd reports`: say what receivers report of this relay's mail."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    FILE,
    ZONE,
    InputError,
    load_or_exit,
    open_lookups,
)
from alignd.cli.render.json import json_line
from alignd.cli.render.reports import report_json, report_lines
from alignd.cli.text import print_lines, with_progress
from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.config.file import ConfigError
from alignd.config.imap_folder import ImapFolder
from alignd.config.settings import ReportsOptions
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


@click.command()
@click.argument("paths", metavar="[PATH]...", type=FILE, nargs=-1)
@click.option("--imap", "from_imap", is_flag=True, help="Read the mailbox of reports.imap.")
@ZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@CONFIG
def reports(
    paths: tuple[Path, ...], from_imap: bool, zone: Path | None, as_json: bool, config: Path
) -> None:
    """Say what receivers report of this relay's mail, from DMARC aggregate reports.

    PATH is a report, plain or packed, a message, an mbox, a Maildir, a directory that is searched
    for them, or '-' for standard input. --imap reads a mailbox, in which nothing is changed unless
    reports.move_to says so. Each report counts once, however often it comes.

    What is told first is rewritten mail that fails: that is an outage. Then follow what else
    fails, and why; mail that was rewritten, by receiver; mail that kept its From, by author
    domain; addresses where a key of ours signs and SPF passes, but which the configuration does
    not have; and forwarding, which is no fault. Mail of domains that rules leave alone (exempt,
    and under rewrite_on = "enforced" those whose policy is none) is counted, and is no fault.

    A report counts for the domain whose mail brought it, by a DKIM signature that passes. One that
    anybody could have written, such as a file without its mail, is named, and decides nothing.

    Exit status 1 if mail of this relay fails; else 2 if something could not be read or verified,
    or there is no report; else 0. Mail without a report in it is named, and is no reason for 2.

    The object of --json has reports (counted, unverified, duplicates, unreadable_rows, begin and
    end, Unix times) and tables: receivers, rewritten (by receiver), domains (by author_domain),
    failures (origin, header_from, address, dkim, spf), unlisted and forwarded (by address), and
    unverified (organization, why, detail). Each has rows, and rest, what is beyond 1,000 of them.
    Rows count messages, passed, failed, foretold (those of them that a rule leaves alone),
    unknown, quarantined and rejected. foreign is mail of others; troubles (by kind) and problems
    (a list, the first hundred: name, trouble, problem) are what is no report.

    \b
    Examples:
      alignd reports ~/Maildir --config /etc/alignd/alignd.conf
      alignd reports --imap --json
    """
    if not paths and not from_imap:
        raise click.UsageError("Missing argument 'PATH' or option '--imap'.")
    configuration, signer = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    suffixes = SuffixList()
    judge = _judge(open_lookups(zone, configuration.dns), suffixes)
    collector = Collector(Ours.of(configuration, signer.tables), judge, suffixes)
    try:
        for found in with_progress(_find(paths), lambda: _count(paths), "messages"):
            collector.take(found)
        if from_imap:
            _read_mailbox(configuration.reports, collector, as_json=as_json)
        else:
            _print(collector.summary, as_json=as_json)
    except (MissingLibraryError, ImapError) as error:
        raise InputError(str(error)) from error
    sys.exit(_exit_status(collector.summary))


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


def _read_mailbox(options: ReportsOptions, collector: Collector, *, as_json: bool) -> None:
    """Read and print; then move what is done, so that nothing is moved that was not told."""
    place = options.imap
    if place is None:
        raise InputError("reports.imap is not set: there is no mailbox to read")
    password = _password(options.password_file)
    try:
        with open_mailbox(place, password, may_change=bool(options.move_to)) as mailbox:
            done = _read_messages(mailbox, collector)
            _print(collector.summary, as_json=as_json)
            for number in done if options.move_to else ():
                mailbox.move(number, options.move_to)
    except ImapError as error:
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


def _print(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line(report_json(summary)))
    else:
        print_lines(report_lines(summary))


def _exit_status(summary: Summary) -> int:
    if summary.has_fault:
        return _EXIT_FAULT
    return EXIT_INCOMPLETE if summary.is_incomplete else 0
