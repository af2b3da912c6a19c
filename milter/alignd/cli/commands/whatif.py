"""`alignd whatif`: what another configuration or other records would change for author domains."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from alignd.advice.whatif import (
    AddressChange,
    AddressError,
    Comparison,
    LaidOver,
    Subject,
    World,
    compare,
    with_addresses,
)
from alignd.cli.ledgers import Asked, opened, takes_both_legs
from alignd.cli.options import (
    EXIT_INCOMPLETE,
    FILE,
    ZONE,
    Format,
    InputError,
    load_directory,
    load_or_exit,
    open_lookups,
)
from alignd.cli.render import csv
from alignd.cli.render.json import json_line
from alignd.cli.render.whatif import COLUMNS, whatif_cells, whatif_json, whatif_lines
from alignd.cli.text import print_lines, with_progress
from alignd.config.settings import Configuration
from alignd.config.signer import TableSigner
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.ledger.queries.overview import Selection, overview
from alignd.mail.domain import Domain, DomainError
from alignd.mail.ip_address import parse_ip_address
from alignd.resolver.zone import Zone, ZoneError

_CHANGES = 1
"""The exit status if the mail of some domain would meet something else."""


class _AddressChange(click.ParamType[AddressChange]):
    """An IP address with a sign before it."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> AddressChange:
        if isinstance(value, AddressChange):
            return value
        sign, address = value[:1], value[1:]
        try:
            if sign not in {"+", "-"}:
                raise ValueError
            return AddressChange(parse_ip_address(address), is_added=sign == "+")
        except ValueError:
            self.fail(
                f"not an address to add or take away: {value!r}; write '+192.0.2.77' or "
                "'-192.0.2.25'",
                param,
                ctx,
            )


@click.command()
@click.argument("names", metavar="[DOMAIN]...", nargs=-1)
@click.option(
    "--with",
    "other",
    type=FILE,
    metavar="FILE",
    help="The configuration file as it would be.",
)
@click.option(
    "--address",
    "addresses",
    type=_AddressChange(),
    multiple=True,
    metavar="+IP|-IP",
    help="An address that mail would leave from, or no longer; may be given more than once.",
)
@click.option(
    "--records",
    type=FILE,
    metavar="FILE",
    help="A master file with records as they would be, laid over those that DNS has.",
)
@ZONE
@click.option("--json", "form", flag_value=Format.JSON, help="Print one JSON object on each line.")
@click.option("--csv", "form", flag_value=Format.CSV, help="Print one row for each domain.")
@takes_both_legs
def whatif(
    asked: Asked,
    names: tuple[str, ...],
    other: Path | None,
    addresses: tuple[AddressChange, ...],
    records: Path | None,
    zone: Path | None,
    form: Format | None,
) -> None:
    """Say whose mail would meet something else if a change were made.

    All author domains of the ledger are judged twice, as things are and as they would be: with
    another configuration file, with an address of the relay more or less, or with other records.
    DOMAINs stand in for those of the ledger. Nothing is changed. Exit status 0 if nothing would
    change, 1 if something would, 2 if DNS did not answer or the ledger cannot be read.

    \b
    Examples:
      alignd whatif --address +192.0.2.77
      alignd whatif --with /etc/alignd/alignd.conf.new --csv > changes.csv
      alignd whatif --records new-include.zone mycompany.com
    """
    if not (other or addresses or records):
        raise click.UsageError("name a change: --with, --address or --records")
    configuration, signer = load_or_exit(asked.config, EXIT_INCOMPLETE)
    now = World(_reviewer(configuration, signer))
    then = _changed(configuration, signer, other, addresses, records)
    subjects = list(_named(names)) if names else _known(asked)
    lookups = open_lookups(zone, configuration.dns, shared=False)
    progress = with_progress(subjects, lambda: len(subjects), "asking DNS")
    found = [compare(subject, now, then, lookups()) for subject in progress]
    _print(found, form)
    sys.exit(_exit_status(found))


def _changed(
    configuration: Configuration,
    signer: TableSigner,
    other: Path | None,
    addresses: tuple[AddressChange, ...],
    records: Path | None,
) -> World:
    if other is not None:
        configuration, signer = load_or_exit(other, EXIT_INCOMPLETE)
    try:
        configuration = with_addresses(configuration, addresses) if addresses else configuration
    except AddressError as error:
        raise InputError(f"--address: {error}") from error
    reviewer = _reviewer(configuration, signer)
    if records is None:
        return World(reviewer)
    over = _read_records(records)
    return World(reviewer, partial(LaidOver, over=over))


def _reviewer(configuration: Configuration, signer: TableSigner) -> Reviewer:
    directory = load_directory(configuration)
    return make_reviewer(configuration, signer, time.time, directory=directory)


def _read_records(path: Path) -> Zone:
    try:
        return Zone.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a zone file: not UTF-8 text") from error
    except ZoneError as error:
        raise InputError(f"{error}; not a zone file") from error


def _named(names: Iterable[str]) -> Iterator[Subject]:
    for name in dict.fromkeys(names):
        try:
            yield Subject("", Domain.parse(name))
        except DomainError as error:
            raise InputError(str(error)) from error


def _known(asked: Asked) -> list[Subject]:
    url = asked.url
    with opened(url) as ledger:
        rows = overview(ledger, Selection(), time.time())
    if not rows:
        raise InputError("the ledger has no author domains yet; name some")
    return [Subject(row.tenant, Domain.parse(row.domain), row.messages) for row in rows]


def _print(found: list[Comparison], form: Format | None) -> None:
    match form:
        case Format.JSON:
            for each in found:
                click.echo(json_line(whatif_json(each)))
        case Format.CSV:
            click.echo(csv.row(COLUMNS))
            for each in found:
                click.echo(csv.row(whatif_cells(each)))
        case None:
            print_lines(whatif_lines(found))


def _exit_status(found: Iterable[Comparison]) -> int:
    all_found = list(found)
    if any(each.is_unknown for each in all_found):
        return EXIT_INCOMPLETE
    return _CHANGES if any(each.changes for each in all_found) else 0
