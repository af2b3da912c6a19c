"""`alignd digest`: say what happened to author domains in a week, and send it by mail."""

from __future__ import annotations

import sys
import time
from enum import Enum

import click
from click.core import ParameterSource

from alignd.cli.ledgers import Asked, takes_database
from alignd.cli.options import EXIT_INCOMPLETE, InputError, load_or_exit
from alignd.cli.render.digest import digest_json
from alignd.cli.render.json import json_line
from alignd.config.settings import LANGUAGES, Configuration
from alignd.digest.digest import digest
from alignd.digest.facts import Facts, gather
from alignd.digest.message import Addressed, as_message
from alignd.digest.sendmail import hand_over
from alignd.digest.week import Week
from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language
from alignd.ledger.window.database import DatabaseAsks
from alignd.ledger.window.opening import reader_of
from alignd.ledger.window.protocol import WindowError
from alignd.ledger.window.reader import LedgerReader

EXIT_NOT_SENT = 1
"""Sendmail has not taken the message."""


class Form(Enum):
    """How a digest is printed."""

    TEXT = "text"
    HTML = "html"
    EML = "eml"
    JSON = "json"


@click.command("digest")
@click.option(
    "--week",
    "weeks_ago",
    type=click.IntRange(0, 520),
    default=0,
    show_default=True,
    help="How many weeks before the last seven days.",
)
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    help="The language, if not digest.language.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([each.value for each in Form]),
    default=Form.TEXT.value,
    show_default=True,
    help="Text, a page, the message that would be sent, or one JSON object.",
)
@click.option("--send", is_flag=True, help="Send it to digest.to, and print nothing.")
@takes_database
@click.pass_context
def digest_(
    context: click.Context,
    asked: Asked,
    weeks_ago: int,
    language: str | None,
    form: str,
    send: bool,
) -> None:
    """Say what happened to author domains in the last seven days (UTC).

    Messages, and what part of them was rewritten; the domains whose mail began to be rewritten,
    stopped, or changed in another way; those with the most rewritten mail, and whether a record
    would help; relays that are silent. With --send, as a mail from digest.from to digest.to, as
    alignd-digest.timer does each Monday.

    Exit status 0; 1 if sendmail did not take the message; 2 if the ledger cannot be read, or
    nobody is named to send it to.

    \b
    Examples:
      alignd digest
      alignd digest --week 1 --format json
      alignd digest --send
    """
    is_form_given = context.get_parameter_source("form") is ParameterSource.COMMANDLINE
    if send and is_form_given:
        raise click.UsageError("--send and --format exclude each other")
    configuration, _ = load_or_exit(asked.config, exit_status=EXIT_INCOMPLETE)
    if send and not configuration.digest.to:
        raise InputError("digest.to is empty: it names who gets the digest")
    now = time.time()
    facts = _facts(asked, configuration, Week.ended(now, weeks_ago), now)
    chosen = Language(language or configuration.digest.language)
    made = digest(facts, load_texts(chosen), page=str(configuration.web.url or ""))
    addressed = Addressed(configuration.digest_sender, configuration.digest.to, now)
    if send:
        _send(as_message(made, addressed, chosen), addressed, configuration.digest.sendmail)
        return
    match Form(form):
        case Form.TEXT:
            click.echo(f"{made.subject}\n\n{made.text}", nl=False)
        case Form.HTML:
            click.echo(made.html, nl=False)
        case Form.EML:
            click.echo(as_message(made, addressed, chosen), nl=False)
        case Form.JSON:
            click.echo(json_line(digest_json(made.summary)))


def _facts(asked: Asked, configuration: Configuration, week: Week, now: float) -> Facts:
    reader = None if asked.database else reader_of(configuration.ledger)
    try:
        return gather(
            reader or LedgerReader(DatabaseAsks(asked.url)),
            week,
            configuration.digest.tenant or None,
            now,
        )
    except WindowError as error:
        raise InputError(
            f"the ledger does not answer: {error} ({error.obstacle.value})"
        ) from error


def _send(message: bytes, addressed: Addressed, sendmail: str) -> None:
    recipients = [each.address for each in addressed.recipients]
    problem = hand_over(sendmail, addressed.sender.address, recipients, message)
    if problem:
        click.echo(f"Error: not sent: {problem}", err=True)
        sys.exit(EXIT_NOT_SENT)
