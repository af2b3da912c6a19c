"""`alignd domain`: say what happens to the mail of author domains, and what they can publish."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from alignd.advice.alternatives import Advice, advise
from alignd.advice.json import advice_json, report_request_json
from alignd.advice.publication import Impossible
from alignd.advice.report_request import ReportRequest, advise_wanted_reports
from alignd.cli.names import LISTED, read_authors
from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    EXIT_REWRITTEN,
    ZONE,
    Format,
    load_directory,
    load_or_exit,
    open_lookups,
)
from alignd.cli.render import csv
from alignd.cli.render.advice import advice_lines, report_request_lines
from alignd.cli.render.json import json_line
from alignd.cli.text import BLANK, print_lines, with_progress
from alignd.judgement.reasons import Action
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.mail.mailbox import Mailbox
from alignd.mail.printable import printable
from alignd.mailauth.dns import Lookup


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1)
@LISTED
@ZONE
@click.option("--json", "form", flag_value=Format.JSON, help="Print one JSON object on each line.")
@click.option("--csv", "form", flag_value=Format.CSV, help="Print one row for each domain.")
@CONFIG
def domain(
    names: tuple[str, ...],
    listed: Path | None,
    zone: Path | None,
    form: Format | None,
    config: Path,
) -> None:
    """Say what happens to mail from NAME, and which record changes that.

    NAME is an author domain or an address. Each record advised is made from those that the domain
    has now, and has been evaluated from every address of this relay. With reports.address, a
    last part says which records have receivers' reports about NAME sent there: an option, which
    no mail depends on. Exit status 0 if all mail is
    left alone; 1 if some is rewritten; 2 if a NAME is wrong, or DNS did not answer.

    \b
    Examples:
      alignd domain mycompany.com
      alignd domain --file customers.txt --csv > customers.csv
    """
    configuration, signer = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    authors, problems = read_authors(names, listed)
    if not authors and not problems:
        raise click.UsageError("name a domain, or give --file")
    lookups = open_lookups(zone, configuration.dns, shared=False)
    directory = load_directory(configuration)
    reviewer = make_reviewer(configuration, signer, time.time, directory=directory)
    progress = with_progress(authors, lambda: len(authors), "asking DNS")
    advices: Iterable[_Told] = (_advise(reviewer, author, lookups()) for author in progress)
    if sys.stdout.isatty():
        advices = list(advices)  # the progress bar would run through the text
    if form is Format.CSV:
        click.echo(csv.heading())
    status = EXIT_INCOMPLETE if problems else 0
    for told in advices:
        status = max(status, _exit_status(told.advice))
        _print(told, form)
    for problem in problems:
        click.echo(f"Error: {printable(problem)}", err=True)
    sys.exit(status)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of one domain."""

    advice: Advice
    reports: ReportRequest | Impossible | None
    """None where none are wanted."""


def _advise(reviewer: Reviewer, author: Mailbox, lookup: Lookup) -> _Told:
    return _Told(advise(reviewer, author, lookup), advise_wanted_reports(reviewer, author, lookup))


def _exit_status(advice: Advice) -> int:
    if advice.is_unknown:
        return EXIT_INCOMPLETE
    return EXIT_REWRITTEN if advice.judgement.reason.action is Action.REWRITE else 0


def _print(told: _Told, form: Format | None) -> None:
    advice, reports = told.advice, told.reports
    match form:
        case Format.JSON:
            said = advice_json(advice) | {"reports": report_request_json(reports)}
            click.echo(json_line(said))
        case Format.CSV:
            click.echo(csv.advice_row(advice))
        case None:
            more = report_request_lines(advice.author.domain, reports) if reports else ()
            print_lines((*advice_lines(advice), *more, BLANK))
