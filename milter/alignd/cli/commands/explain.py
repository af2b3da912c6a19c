"""`alignd explain`: say what the milter would do with a message, and why."""

from __future__ import annotations

import codecs
import sys
import time
from dataclasses import replace
from pathlib import Path

import click

from alignd.advice.alternatives import Advice, advise
from alignd.cli.options import (
    CLIENT,
    CONFIG,
    EXIT_INCOMPLETE,
    FILE,
    LOGIN,
    ZONE,
    InputError,
    load_directory,
    load_or_exit,
    open_lookup,
)
from alignd.cli.render.explanation import explanation_lines
from alignd.cli.render.json import json_line, judgement_json
from alignd.cli.text import print_lines
from alignd.judgement.reasons import Action
from alignd.judgement.review import Judgement, Reviewer, make_reviewer
from alignd.mail.ip_address import IpAddress
from alignd.mail.mailbox import envelope_address
from alignd.mail.message import HeaderField, Message, MessageError, split_message
from alignd.mailauth.dns import Lookup
from alignd.mta.transaction import as_judged

_STDIN = Path("-")
_BOM_LEFT_OUT = (
    "a byte order mark on top, as editors write it, is left out; a message that is sent with one "
    "has no header for Postfix, and From is missing"
)


@click.command()
@click.argument("message", type=FILE)
@click.option("--mail-from", required=True, help="The envelope sender; '<>' for the null sender.")
@click.option("--rcpt", multiple=True, help="An envelope recipient; can be repeated.")
@CLIENT
@LOGIN
@ZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@CONFIG
def explain(  # noqa: PLR0913, PLR0917  click passes one argument for each option
    message: Path,
    mail_from: str,
    rcpt: tuple[str, ...],
    client: IpAddress,
    login: str,
    zone: Path | None,
    as_json: bool,
    config: Path,
) -> None:
    """Say what the milter would do with MESSAGE, and why. Changes nothing.

    MESSAGE is a file, or - for standard input, split into header and body as Postfix does; a byte
    order mark on top is left out. Prints what was known, each check with its evidence
    and the RFC behind it, the rule that decided, and the header before and after.

    A zone file holds records with absolute names; the comment lines '; SERVFAIL name [TYPE]' and
    '; TIMEOUT name [TYPE]' declare failures. Exit status 0; 2 if MESSAGE or something else that
    is named could not be read.

    \b
    Examples:
      alignd explain reply.eml --mail-from marky@mycompany.com
      alignd explain reply.eml --mail-from '<>' --zone what-if.zone --json
      postcat -bhq 4bQx2K1 | alignd explain - --mail-from '<>'
    """
    configuration, signer = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    directory = load_directory(configuration, exit_status=EXIT_INCOMPLETE)
    header, body = _read_message(message)
    lookup = open_lookup(zone, configuration.dns)
    reviewer = make_reviewer(configuration, signer, time.time, directory=directory)
    whole = Message(
        envelope_sender=envelope_address(mail_from),
        recipients=tuple(map(envelope_address, rcpt)),
        header=header,
        client=client,
        login=login,
        body=body,
    )
    judgement = reviewer.judge(as_judged(whole, configuration), lookup)
    if as_json:
        click.echo(json_line(judgement_json(whole, judgement)))
    else:
        advice = _advise(reviewer, judgement, lookup)
        print_lines(explanation_lines(whole, judgement, configuration, advice))


def _advise(reviewer: Reviewer, judgement: Judgement, lookup: Lookup) -> Advice | None:
    """Advise how to avoid a rewrite, with the settings of the tenant whose message it is."""
    author = judgement.circumstances.author
    if judgement.reason.action is not Action.REWRITE or not author.mailbox or not author.domain:
        return None
    configuration = reviewer.configuration.narrowed_to(judgement.settings)
    return advise(replace(reviewer, configuration=configuration), author.mailbox, lookup)


def _read_message(path: Path) -> tuple[tuple[HeaderField, ...], bytes]:
    try:
        data = sys.stdin.buffer.read() if path == _STDIN else path.read_bytes()
        if data.startswith(codecs.BOM_UTF8):
            click.echo(_BOM_LEFT_OUT, err=True)
        return split_message(data.removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except MessageError as error:
        raise InputError(f"{path}: not a message: {error}") from error
