"""`alignd explain`: says what the milter would do with a message, and why."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import click

from alignd.advice import Advice, advise
from alignd.console import CONFIG, EXIT_CANNOT_SAY, ZONE, CannotSayError, load, open_lookup
from alignd.decision import Action
from alignd.explain import story
from alignd.freemail import FreemailDomains
from alignd.lookup import Lookup
from alignd.message import HeaderField, Message, MessageError, split_message, unmapped
from alignd.report import as_json
from alignd.review import Review, Reviewer
from alignd.suffixes import SuffixList


@click.command()
@click.argument("message", type=click.Path(path_type=Path))
@click.option(
    "--mail-from", required=True, help="The envelope sender; '<>' or nothing for a null one."
)
@click.option("--rcpt", multiple=True, help="An envelope recipient; may be given again.")
@click.option(
    "--client", default="127.0.0.1", show_default=True, help="The IP address of the SMTP client."
)
@click.option("--login", default="", help="The name that the client logged in with.")
@ZONE
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON object.")
@CONFIG
def explain(  # noqa: PLR0913, PLR0917  click hands over one argument an option
    message: Path,
    mail_from: str,
    rcpt: tuple[str, ...],
    client: str,
    login: str,
    zone: Path | None,
    as_json_: bool,
    config: Path,
) -> None:
    """Say what the milter would do with MESSAGE (a file), and why. Changes nothing.

    A zone file holds records with absolute names; the comment lines '; SERVFAIL name [TYPE]' and
    '; TIMEOUT name [TYPE]' declare failures. Exit status 0 when it could say, else 2.

    \b
    Examples:
      alignd explain reply.eml --mail-from marky@mycompany.com
      alignd explain reply.eml --mail-from '<>' --zone what-if.zone --json
    """
    configuration, signer = load(config, exit_status=EXIT_CANNOT_SAY)
    header, body = _read_message(message)
    lookup = open_lookup(zone, configuration.dns)
    reviewer = Reviewer(configuration, SuffixList(), signer, FreemailDomains(), time.time)
    review = reviewer.review(
        Message(
            envelope_sender=_without_brackets(mail_from),
            recipients=tuple(map(_without_brackets, rcpt)),
            header=header,
            client=_client(client),
            login=login,
            body=body,
        ),
        lookup,
    )
    if as_json_:
        click.echo(json.dumps(as_json(review)))
    else:
        advice = _advise(reviewer, review, lookup)
        click.echo("\n".join(story(review, header, advice)))


def _advise(reviewer: Reviewer, review: Review, lookup: Lookup) -> Advice | None:
    """What would change a rewrite, for the tenant whose message it is."""
    author = review.author
    if review.decision.action is not Action.REWRITE or not author.mailbox or not author.domain:
        return None
    configuration = reviewer.configuration.as_of(review.settings)
    return advise(replace(reviewer, configuration=configuration), author.mailbox, lookup)


def _read_message(path: Path) -> tuple[tuple[HeaderField, ...], bytes]:
    try:
        return split_message(path.read_bytes())
    except OSError as error:
        raise CannotSayError(f"{path}: {error.strerror}") from error
    except MessageError as error:
        raise CannotSayError(f"{path}: not a message: {error}") from error


def _client(text: str) -> IPv4Address | IPv6Address:
    try:
        return unmapped(text)
    except ValueError:
        raise CannotSayError(f"--client: not an IP address: {text!r}") from None


def _without_brackets(address: str) -> str:
    return address.strip().removeprefix("<").removesuffix(">")
