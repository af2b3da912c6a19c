"""`alignd letter`: write to the admin of a customer what to publish, in his language."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import click

from alignd.advice.alternatives import Advice, advise
from alignd.advice.publication import Impossible
from alignd.advice.report_request import ReportRequest, advise_wanted_reports
from alignd.cli.names import read_authors
from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    ZONE,
    InputError,
    load_directory,
    load_or_exit,
    open_lookup,
)
from alignd.judgement.review import make_reviewer
from alignd.languages.catalogues import load_texts
from alignd.languages.language import SOURCE, Language
from alignd.letter.hosting import find_hosting
from alignd.letter.letter import Letter, NoLetter, choose_alternative, letter
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dns import Lookup

EXIT_NO_LETTER = 1
"""There is nothing to ask of the domain."""


class Form(Enum):
    """How a letter is printed."""

    TEXT = "text"
    HTML = "html"
    EML = "eml"
    MAILTO = "mailto"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the letter is to be."""

    language: Language
    number: int
    link: str
    reports: ReportRequest | None


@click.command("letter")
@click.argument("name", metavar="NAME")
@click.option(
    "--language",
    type=click.Choice([each.value for each in Language]),
    default=SOURCE.value,
    show_default=True,
    help="The language of the admin.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([each.value for each in Form]),
    default=Form.TEXT.value,
    show_default=True,
    help="Text, a page, a draft that mail programs open, or a link that opens a mail.",
)
@click.option(
    "--record",
    "number",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Which of the records of `alignd domain` to ask for.",
)
@click.option("--link", default="", help="A page that the letter leads to.")
@ZONE
@CONFIG
def letter_(
    name: str,
    language: str,
    form: str,
    number: int,
    link: str,
    zone: Path | None,
    config: Path,
) -> None:
    """Write to the admin of NAME, an author domain or an address, which record to publish.

    The letter says what happens to the mail and why, the exact record, where to enter it at the
    company's DNS host, what often goes wrong there, and how to see that it worked. The record is
    that of `alignd domain`. With reports.address, and once DNS allows reports about NAME to go
    there, the record that asks for them stands at the end, as an option. Exit status 0 if there is
    a letter; 1 if there is nothing to ask for; 2 if NAME is wrong, or DNS did not answer.

    \b
    Examples:
      alignd letter mycompany.com
      alignd letter mycompany.com --language da --format eml > letter.eml
    """
    configuration, signer = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    authors, problems = read_authors([name], None)
    if problems:
        raise InputError(problems[0])
    lookup = open_lookup(zone, configuration.dns)
    directory = load_directory(configuration)
    reviewer = make_reviewer(configuration, signer, time.time, directory=directory)
    (author,) = authors
    advice = advise(reviewer, author, lookup)
    found = advise_wanted_reports(reviewer, author, lookup)
    reports = None if isinstance(found, Impossible) else found
    written = _write(advice, lookup, _Wanted(Language(language), number, link, reports))
    if isinstance(written, NoLetter):
        sys.exit(_explain(written, author, advice))
    _print(written, Form(form))


def _write(advice: Advice, lookup: Lookup, wanted: _Wanted) -> Letter | NoLetter:
    alternative = choose_alternative(advice, wanted.number)
    if isinstance(alternative, NoLetter):
        return alternative
    return letter(
        advice,
        load_texts(wanted.language),
        find_hosting(alternative.publication.answers, lookup),
        looked_at=time.time(),
        number=wanted.number,
        link=wanted.link,
        reports=wanted.reports,
    )


def _explain(why: NoLetter, author: Mailbox, advice: Advice) -> int:
    """Say why there is no letter, and return the exit status."""
    if why is NoLetter.NO_SUCH_RECORD:
        raise InputError(f"--record: `alignd domain` has {len(advice.alternatives)} for it")
    detail = f" ({advice.cannot})" if why is NoLetter.NO_RECORD_HELPS else ""
    click.echo(f"{author.domain}: no letter: {why.value}{detail}", err=True)
    return EXIT_INCOMPLETE if why is NoLetter.UNKNOWN else EXIT_NO_LETTER


def _print(written: Letter, form: Form) -> None:
    match form:
        case Form.TEXT:
            click.echo(f"{written.subject}\n\n{written.text}", nl=False)
        case Form.HTML:
            click.echo(written.html, nl=False)
        case Form.EML:
            click.echo(written.message, nl=False)
        case Form.MAILTO:
            click.echo(written.mailto)
