"""`alignd domain`: says what becomes of the mail of author domains, and what they can publish."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path

import click

from alignd.advice.alternatives import Advice, advise
from alignd.cli.options import (
    CONFIG,
    EXIT_CANNOT_SAY,
    EXIT_REWRITTEN,
    ZONE,
    CannotSayError,
    load,
    open_lookups,
)
from alignd.cli.render.advice import advice_story
from alignd.cli.render.json import ADVICE_COLUMNS, advice_as_json, advice_as_row
from alignd.cli.text import with_progress
from alignd.judgement.reasons import Action
from alignd.judgement.review import make_reviewer
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox, MailboxError, envelope_address
from alignd.mail.printable import printable

AGENT = "agent"
"""The local part of the author that is asked about where only a domain is named."""


class Format(Enum):
    """How the advice is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option(
    "--file",
    "listed",
    type=click.Path(path_type=Path),
    help="More names, one a line, '#' begins a comment; '-' is standard input.",
)
@ZONE
@click.option("--json", "form", flag_value=Format.JSON, help="Print one JSON object a line.")
@click.option("--csv", "form", flag_value=Format.CSV, help="Print one row a domain.")
@CONFIG
def domain(
    names: tuple[str, ...],
    listed: Path | None,
    zone: Path | None,
    form: Format | None,
    config: Path,
) -> None:
    """Say what happens to mail from NAME, and which record changes that.

    NAME is an author domain or an address. Each record that is advised is made from what the
    domain has now, and has been evaluated from every address of this relay. Exit status 0 when
    all mail is left alone, 1 when some is rewritten, 2 when something could not be said.

    \b
    Examples:
      alignd domain mycompany.com
      alignd domain --file customers.txt --csv > customers.csv
    """
    configuration, signer = load(config, exit_status=EXIT_CANNOT_SAY)
    texts = [*names, *(_read_names(listed) if listed else ())]
    if not texts:
        raise click.UsageError("name a domain, or give --file")
    authors, problems = _authors(texts)
    lookups = open_lookups(zone, configuration.dns, shared=False)
    reviewer = make_reviewer(configuration, signer, time.time)
    show = _PRINTERS[form or Format.TEXT]
    outputs = [_row(ADVICE_COLUMNS)] if form is Format.CSV else []
    status = EXIT_CANNOT_SAY if problems else 0
    hold = sys.stdout.isatty()  # a bar would run through the text
    for author in with_progress(authors, lambda: len(authors), "asking DNS"):
        advice = advise(reviewer, author, lookups())
        status = max(status, _exit_status(advice))
        outputs.append(show(advice))
        if not hold:
            click.echo(outputs.pop(0))
    for output in outputs:
        click.echo(output)
    for problem in problems:
        click.echo(f"Error: {printable(problem)}", err=True)
    sys.exit(status)


def _read_names(path: Path) -> Iterable[str]:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        lines = data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise CannotSayError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CannotSayError(f"{path}: not a list of names: not UTF-8 text") from error
    texts = (line.partition("#")[0].strip() for line in lines)
    return [text for text in texts if text]


def _authors(texts: Iterable[str]) -> tuple[list[Mailbox], list[str]]:
    """The authors that *texts* name, each once, and what is wrong with the other texts."""
    authors: dict[Mailbox, None] = {}
    problems = []
    for text in texts:
        try:
            authors[_author(text)] = None
        except (DomainError, MailboxError) as error:
            problems.append(str(error))
    return list(authors), problems


def _author(text: str) -> Mailbox:
    address = envelope_address(text)
    mailbox = (
        Mailbox.from_address(address) if "@" in address else Mailbox(AGENT, Domain.parse(address))
    )
    if len(mailbox.domain.labels) == 1 or mailbox.domain.labels[-1].isdigit():
        raise DomainError(f"not a domain that mail comes from: {text[:80]!r}")
    if not mailbox.local_part.isascii():
        raise MailboxError(f"must be ASCII before the '@': {text[:80]!r}")
    return mailbox


def _exit_status(advice: Advice) -> int:
    if advice.is_unknown:
        return EXIT_CANNOT_SAY
    return EXIT_REWRITTEN if advice.judgement.reason.action is Action.REWRITE else 0


def _text(advice: Advice) -> str:
    headline, *rest = advice_story(advice)
    rewritten = advice.judgement.reason.action is Action.REWRITE
    # click takes the colours out again where the output is no terminal.
    styled = click.style(headline, fg="yellow" if rewritten else "green", bold=True)
    return "\n".join((styled, *rest, ""))


def _json(advice: Advice) -> str:
    # JSON leaves DEL as it is, which drives some terminals.
    return json.dumps(advice_as_json(advice)).replace("\x7f", "\\u007f")


def _csv(advice: Advice) -> str:
    return _row(map(printable, advice_as_row(advice)))


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


_PRINTERS: dict[Format, Callable[[Advice], str]] = {
    Format.TEXT: _text,
    Format.JSON: _json,
    Format.CSV: _csv,
}
