"""`alignd domain`: say what happens to the mail of author domains, and what they can publish."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from alignd.advice.alternatives import Advice, advise
from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    EXIT_REWRITTEN,
    ZONE,
    Format,
    InputError,
    load_directory,
    load_or_exit,
    open_lookups,
)
from alignd.cli.render import csv
from alignd.cli.render.advice import advice_lines
from alignd.cli.render.json import advice_json, json_line
from alignd.cli.text import BLANK, print_lines, with_progress
from alignd.judgement.reasons import Action
from alignd.judgement.review import make_reviewer
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox, MailboxError, envelope_address
from alignd.mail.printable import printable

AGENT = "agent"
"""The local part of the author if only a domain is named."""
_MAX_SHOWN = 80  # characters of an entry


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option(
    "--file",
    "listed",
    type=click.Path(path_type=Path),
    help="More names, one on each line, '#' begins a comment; '-' is standard input.",
)
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
    has now, and has been evaluated from every address of this relay. Exit status 0 if all mail is
    left alone; 1 if some is rewritten; 2 if a NAME is wrong, or DNS did not answer.

    \b
    Examples:
      alignd domain mycompany.com
      alignd domain --file customers.txt --csv > customers.csv
    """
    configuration, signer = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    entries = [*map(_Entry, names), *(_read_names(listed) if listed else ())]
    if not entries:
        raise click.UsageError("name a domain, or give --file")
    authors, problems = _authors(entries)
    lookups = open_lookups(zone, configuration.dns, shared=False)
    directory = load_directory(configuration)
    reviewer = make_reviewer(configuration, signer, time.time, directory=directory)
    progress = with_progress(authors, lambda: len(authors), "asking DNS")
    advices: Iterable[Advice] = (advise(reviewer, author, lookups()) for author in progress)
    if sys.stdout.isatty():
        advices = list(advices)  # the progress bar would run through the text
    if form is Format.CSV:
        click.echo(csv.heading())
    status = EXIT_INCOMPLETE if problems else 0
    for advice in advices:
        status = max(status, _exit_status(advice))
        _print(advice, form)
    for problem in problems:
        click.echo(f"Error: {printable(problem)}", err=True)
    sys.exit(status)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name that was asked for."""

    text: str
    place: str = ""
    """The file and the line that have it; empty for the command line."""

    def problem(self, error: ValueError) -> str:
        """What is wrong with it; in a file, which entry it is."""
        if not self.place:
            return str(error)
        shown = repr(self.text[:_MAX_SHOWN])
        return (
            f"{self.place}: {error}" if shown in str(error) else f"{self.place}: {shown}: {error}"
        )


def _read_names(path: Path) -> Iterable[_Entry]:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        lines = data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a list of names: not UTF-8 text") from error
    texts = (line.partition("#")[0].strip() for line in lines)
    return [_Entry(text, f"{path}:{number}") for number, text in enumerate(texts, 1) if text]


def _authors(entries: Iterable[_Entry]) -> tuple[list[Mailbox], list[str]]:
    """Parse *entries* into authors, each once, and the problems of those that are wrong."""
    authors: dict[Mailbox, None] = {}
    problems = []
    for entry in entries:
        try:
            authors[_author(entry.text)] = None
        except (DomainError, MailboxError) as error:
            problems.append(entry.problem(error))
    return list(authors), problems


def _author(text: str) -> Mailbox:
    address = envelope_address(text)
    mailbox = (
        Mailbox.from_address(address) if "@" in address else Mailbox(AGENT, Domain.parse(address))
    )
    if len(mailbox.domain.labels) == 1 or mailbox.domain.labels[-1].isdigit():
        raise DomainError(f"not a domain that mail comes from: {text[:_MAX_SHOWN]!r}")
    if not mailbox.local_part.isascii():
        raise MailboxError(f"must be ASCII before the '@': {text[:_MAX_SHOWN]!r}")
    return mailbox


def _exit_status(advice: Advice) -> int:
    if advice.is_unknown:
        return EXIT_INCOMPLETE
    return EXIT_REWRITTEN if advice.judgement.reason.action is Action.REWRITE else 0


def _print(advice: Advice, form: Format | None) -> None:
    match form:
        case Format.JSON:
            click.echo(json_line(advice_json(advice)))
        case Format.CSV:
            click.echo(csv.advice_row(advice))
        case None:
            print_lines((*advice_lines(advice), BLANK))
