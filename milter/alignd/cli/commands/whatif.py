"""`alignd whatif`: say what would happen to mail of author domains if something were different."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from alignd.advice.whatif import (
    AddressError,
    LaidOver,
    Outcome,
    Remembered,
    Subject,
    View,
    with_addresses,
)
from alignd.cli.ledgers import Asked, opened, takes_database
from alignd.cli.names import LISTED, read_authors
from alignd.cli.options import (
    EXIT_INCOMPLETE,
    FILE,
    ZONE,
    Format,
    InputError,
    load_directory,
    load_or_exit,
    open_lookups,
    read_zone,
)
from alignd.cli.render import csv
from alignd.cli.render.json import json_line
from alignd.cli.render.whatif import (
    COLUMNS,
    Comparison,
    Failed,
    outcome_cells,
    outcome_json,
    whatif_lines,
)
from alignd.cli.text import print_lines, with_progress
from alignd.config.option_types import parse_relay_address
from alignd.config.settings import Configuration
from alignd.config.signer import TableSigner
from alignd.judgement.review import make_reviewer
from alignd.ledger.queries.overview import Selection, overview
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mail.printable import printable
from alignd.mailauth.dns import Lookup
from alignd.resolver.zone import Zone
from alignd.telemetry.log import described

_EXIT_CHANGED = 1
"""Something would happen to the mail of at least one domain that does not happen now."""
_AT_A_TIME = 16
"""Domains that are judged at once: most of the time, DNS is waited for."""


class _AddressChange(click.ParamType[tuple[bool, IpAddress]]):
    """An address that is added, or removed; True if it is added."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[bool, IpAddress]:
        sign, address = value[:1], value[1:]
        if sign not in {"+", "-"}:
            self.fail(f"write '+{value}' to add it, or '-{value}' to take it away", param, ctx)
        try:
            return sign == "+", parse_relay_address(address)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--with",
    "other",
    metavar="FILE",
    type=FILE,
    help="Another configuration file, as it would be.",
)
@click.option(
    "--address",
    "addresses",
    metavar="+IP|-IP",
    multiple=True,
    type=_AddressChange(),
    help="Mail would leave from this address too, or no longer; may be given more than once.",
)
@click.option(
    "--records", type=FILE, help="A master file with records as they would be, laid over DNS."
)
@LISTED
@click.option("--tenant", help="Only this tenant's, by its name; '' is none of them.")
@click.option("--domain", "pattern", default="", help="Only domains like '*.example.com'.")
@ZONE
@click.option("--json", "form", flag_value=Format.JSON, help="Print one JSON object on each line.")
@click.option("--csv", "form", flag_value=Format.CSV, help="Print one row for each domain.")
@takes_database
def whatif(  # noqa: PLR0913, PLR0917  click passes one argument for each option
    asked: Asked,
    names: tuple[str, ...],
    other: Path | None,
    addresses: tuple[tuple[bool, IpAddress], ...],
    records: Path | None,
    listed: Path | None,
    tenant: str | None,
    pattern: str,
    zone: Path | None,
    form: Format | None,
) -> None:
    """Say what would happen to mail of author domains if something were different.

    All author domains of the ledger, or the NAMEs alone, are judged twice: as things are, and with
    another configuration, other relay addresses, or other records in DNS. What would change is
    listed with the messages of 30 days, by tenant; scripts get all domains. Changes nothing.

    Each domain is judged as for a message of its own helpdesk: with its tenant's options, a login,
    and the author's address as envelope sender. What [helpdesk] asks of a message, and [dns] of
    the other file, have no part in it. Records of a name and type replace those that DNS has.

    Exit status 0 if nothing would change; 1 if something would; 2 if DNS did not say, or something
    that is named cannot be read.

    \b
    Examples:
      alignd whatif --address +192.0.2.77
      alignd whatif --address -2001:db8::25 --tenant mycompany
      alignd whatif --with new.conf --csv > domains.csv
      alignd whatif --records new-include.zone mycompany.com
    """
    different = _Different(other, addresses, records)
    if different == _Different():
        raise click.UsageError("say what would be different: --with, --address or --records")
    configuration, signer = load_or_exit(asked.config, EXIT_INCOMPLETE)
    new_lookup = open_lookups(zone, configuration.dns, shared=False)
    before, after = _views(configuration, signer, different)
    written = read_zone(records) if records else None
    subjects, problems = _subjects(
        asked, names, listed, Selection(tenant=tenant, pattern=pattern.lower())
    )
    judged = _judged(subjects, partial(_judge, before, after, new_lookup, written))
    paths = {str(asked.config): before, str(other or asked.config): after}
    compared = Comparison(judged, _strangers(subjects, paths))
    _print(compared, form)
    problems += [f"{each.subject.domain}: {each.problem}" for each in compared.failed]
    for problem in problems:
        click.echo(f"Error: {printable(problem)}", err=True)
    is_incomplete = problems or compared.unknown
    sys.exit(EXIT_INCOMPLETE if is_incomplete else _EXIT_CHANGED if compared.changes else 0)


@dataclass(frozen=True, slots=True)
class _Different:
    """What would be different."""

    configuration: Path | None = None
    addresses: tuple[tuple[bool, IpAddress], ...] = ()
    records: Path | None = None


def _views(
    configuration: Configuration, signer: TableSigner, different: _Different
) -> tuple[View, View]:
    """How things are, and how they would be."""
    now = time.time()
    directory = load_directory(configuration)
    reviewer = make_reviewer(configuration, signer, lambda: now, directory=directory)
    then = reviewer
    if different.configuration:
        configuration, signer = load_or_exit(different.configuration, EXIT_INCOMPLETE)
        directory = load_directory(configuration)
        then = make_reviewer(
            configuration, signer, lambda: now, reviewer.suffixes, directory=directory
        )
    added = [address for is_added, address in different.addresses if is_added]
    removed = [address for is_added, address in different.addresses if not is_added]
    try:
        changed = with_addresses(then.configuration, added, removed)
    except AddressError as error:
        raise InputError(f"--address: {error}") from error
    return View(reviewer), View(replace(then, configuration=changed))


def _subjects(
    asked: Asked, names: tuple[str, ...], listed: Path | None, selection: Selection
) -> tuple[list[Subject], list[str]]:
    """The domains to judge, and what is wrong with those that were named."""
    if names or listed:
        if selection.pattern:
            raise click.UsageError("--domain is for the domains of the ledger, not for NAMEs")
        authors, problems = read_authors(names, listed)
        domains = dict.fromkeys(author.domain for author in authors)
        return [Subject(domain, selection.tenant or "") for domain in domains], problems
    with opened(asked.url) as ledger:
        rows = overview(ledger, selection, time.time())
    if not rows:
        raise InputError("the ledger has no such author domain; name some, or give --file")
    return [Subject(Domain.parse(row.domain), row.tenant, row.messages) for row in rows], []


def _strangers(subjects: Iterable[Subject], views: dict[str, View]) -> dict[str, list[str]]:
    labels = sorted({subject.tenant for subject in subjects})
    found = {
        path: [label for label in labels if not view.knows(label)] for path, view in views.items()
    }
    return {path: missing for path, missing in found.items() if missing}


def _judge(
    before: View,
    after: View,
    new_lookup: Callable[[], Lookup],
    written: Zone | None,
    subject: Subject,
) -> Outcome | Failed:
    dns = Remembered(new_lookup())
    try:
        now = before.judge(subject, dns)
        later = dns.renewed(new_lookup())  # with time of its own
        then = after.judge(subject, LaidOver(written, later) if written else later)
        return Outcome(subject, now, then)
    except Exception as error:  # a bug with one domain must not lose all the others
        return Failed(subject, described(error))


def _judged(
    subjects: Sequence[Subject], judge: Callable[[Subject], Outcome | Failed]
) -> list[Outcome | Failed]:
    threads = ThreadPoolExecutor(_AT_A_TIME)
    try:
        found = threads.map(judge, subjects)
        return list(with_progress(found, lambda: len(subjects), "judging"))
    finally:
        threads.shutdown(cancel_futures=True)  # those that wait, where somebody has no patience


def _print(compared: Comparison, form: Format | None) -> None:
    match form:
        case Format.JSON:
            for each in compared.outcomes:
                click.echo(json_line(outcome_json(each)))
        case Format.CSV:
            click.echo(csv.row(COLUMNS))
            for each in compared.outcomes:
                click.echo(csv.row(outcome_cells(each)))
        case None:
            print_lines(whatif_lines(compared))
