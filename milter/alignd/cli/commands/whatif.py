"""`alignd whatif`: say what would happen to mail of author domains if something were different."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from alignd.advice.whatif import (
    AddressError,
    LaidOver,
    Outcome,
    Subject,
    View,
    with_addresses,
)
from alignd.cli.ledgers import Asked, opened, takes_outbound_ledger
from alignd.cli.names import LISTED, read_authors
from alignd.cli.options import (
    EXIT_INCOMPLETE,
    FILE,
    ZONE,
    Format,
    InputError,
    load_directory,
    load_or_exit,
    open_resolvers,
    read_zone,
)
from alignd.cli.render import csv
from alignd.cli.render.json import json_line
from alignd.cli.render.whatif import (
    COLUMNS,
    Comparison,
    Failed,
    outcome_json,
    whatif_json,
    whatif_lines,
)
from alignd.cli.text import print_lines, with_progress
from alignd.config.option_types import parse_relay_address
from alignd.config.settings import Configuration
from alignd.config.signer import TableSigner
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.ledger.queries.overview import Selection, overview
from alignd.mail.domain import Domain, DomainError
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
    "--with", "other", metavar="FILE", type=FILE, help="Another configuration file, as it would be."
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
@click.option("--json", "form", flag_value=Format.JSON, help="Print one JSON object.")
@click.option("--csv", "form", flag_value=Format.CSV, help="Print one row for each change.")
@takes_outbound_ledger
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
    listed with the messages of 30 days, by tenant. Changes nothing.

    Each domain is judged as for a message of its own helpdesk: with its tenant's options, a login,
    and the author's address as envelope sender. What [helpdesk] asks of a message, and [dns] of
    the other file, have no part in it. Records of a name and type replace those that DNS has.

    Exit status 0 if nothing would change; 1 if something would; 2 if DNS did not say, or something
    that is named cannot be read.

    \b
    Examples:
      alignd whatif --address +192.0.2.77
      alignd whatif --address -2001:db8::25 --tenant mycompany
      alignd whatif --with new.conf --csv > changes.csv
      alignd whatif --records new-include.zone mycompany.com
    """
    if other is None and not addresses and records is None:
        raise click.UsageError("say what would be different: --with, --address or --records")
    subjects, problems = _subjects(asked, names, listed, Selection(tenant=tenant, pattern=pattern.lower()))
