"""`alignd address`: tell the return addresses of an author, or whose a return address is."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    InputError,
    load_directory,
    load_or_exit,
)
from alignd.cli.render.json import json_line
from alignd.cli.render.return_address import (
    AddressReport,
    report_json,
    report_lines,
    report_of_author,
    report_of_return_address,
)
from alignd.cli.text import print_lines
from alignd.config.settings import Configuration, Settings
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox, MailboxError, envelope_address
from alignd.mailauth.ternary import Ternary
from alignd.return_path.address import has_form
from alignd.return_path.directory import Directory

_EXIT_DOES_NOT_HOLD = 1
_SHOWN_DOMAINS = 5


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option(
    "--domain",
    metavar="DOMAIN",
    help="The domain of the return addresses of an author, if tenants have several.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on each line.")
@CONFIG
def address(addresses: tuple[str, ...], domain: str | None, as_json: bool, config: Path) -> None:
    """Tell the return addresses of an author, or whose each return address is.

    ADDRESS of an author gives the address that his rewritten mail is from and the one that bounces
    go to, by the general options or those of the tenant with this --domain. A return address gives
    its author, kind, key and day, where its mail is delivered, and whether it holds, as `alignd
    return` would tell Postfix.

    Exit status 0 if all addresses hold, or have a return address; 1 if one does not; 2 if of one
    it could not be told.

    \b
    Examples:
      alignd address marky.mark@mycompany.com
      alignd address ann=mycompany.com=k7f3q2x8wb@notifications.easysoftware.com
    """
    configuration, _ = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    directory = load_directory(configuration)
    if not directory.domains:
        raise InputError(f"{config}: return addresses are off; return.keys switches them on")
    parsed = [_parse(text, directory) for text in addresses]
    now = time.time()
    reports = [
        report_of_author(each, directory, _settings(configuration, domain), now)
        if isinstance(each, Mailbox)
        else report_of_return_address(each, directory, now)
        for each in parsed
    ]
    for report in reports:
        if as_json:
            click.echo(json_line(report_json(report)))
        else:
            print_lines(report_lines(report))
    sys.exit(_exit_status(reports))


def _parse(text: str, directory: Directory) -> Mailbox | str:
    """The mailbox of an author, or the text of what is or could be a return address."""
    plain = envelope_address(text)
    local_part, _, name = plain.rpartition("@")
    try:
        if Domain.parse(name) in directory.domains or has_form(local_part):
            return plain
        author = Mailbox.from_address(plain)
    except (DomainError, MailboxError) as error:
        raise InputError(f"not an address: {text!r} ({error})") from error
    return Mailbox(author.local_part.lower(), author.domain)


def _settings(configuration: Configuration, name: str | None) -> Settings:
    """The settings that have keys, and return addresses in the domain of this *name*."""
    by_domain: dict[Domain, Settings] = {}
    for settings in configuration.all_settings:
        if settings.return_path.keys:
            by_domain.setdefault(settings.return_domain, settings)
    if name is not None:
        try:
            return by_domain[Domain.parse(name)]
        except (DomainError, KeyError):
            problem = f"--domain: no return addresses in {name!r}"
    elif configuration.return_path.keys or len(by_domain) == 1:
        return next(iter(by_domain.values()))
    else:
        problem = "tenants have return addresses in several domains; choose one by --domain"
    some = ", ".join(map(str, sorted(by_domain)[:_SHOWN_DOMAINS]))
    more = len(by_domain) - _SHOWN_DOMAINS
    raise InputError(f"{problem}: {some}" + (f" and {more} more" if more > 0 else ""))


def _exit_status(reports: list[AddressReport]) -> int:
    holds = {report.holds for report in reports}
    if Ternary.UNKNOWN in holds:
        return EXIT_INCOMPLETE
    return _EXIT_DOES_NOT_HOLD if Ternary.NO in holds else 0
