"""`alignd domain-connect`: the template for DNS hosts, its key, and links to apply it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    ZONE,
    InputError,
    load_or_exit,
    open_lookups,
    print_problems,
)
from alignd.cli.render.json import json_line
from alignd.cli.text import Line, fold, print_lines, verbatim
from alignd.config.domain_lists import FreemailDomains
from alignd.config.file import ConfigError
from alignd.domain_connect.assembly import Reach, Service, make_discovery
from alignd.domain_connect.discovery import Offer, Unknown, Unsupported
from alignd.domain_connect.key_record import is_published, make_records
from alignd.domain_connect.signing_key import load_signing_key
from alignd.domain_connect.template import Group, groups_of, make_template
from alignd.mail.domain import Domain, DomainError
from alignd.mail.printable import printable
from alignd.mailauth.ternary import Ternary

_EXIT_NO_LINK = 1
_KEY_TEXT = """\
Publish these TXT records, all at {name}, each as one string. DNS hosts verify with them what \
{path} has signed."""
_TRUTH = {Ternary.YES: True, Ternary.NO: False, Ternary.UNKNOWN: None}


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found out about one domain."""

    domain: Domain
    outcome: Offer | Unsupported | Unknown
    key: tuple[Ternary, str]
    """Whether our public key is published, and where not, why."""

    @property
    def exit_status(self) -> int:
        if isinstance(self.outcome, Unsupported) or self.key[0] is Ternary.NO:
            return _EXIT_NO_LINK
        is_unknown = isinstance(self.outcome, Unknown) or self.key[0] is Ternary.UNKNOWN
        return EXIT_INCOMPLETE if is_unknown else 0

    @property
    def problems(self) -> tuple[str, ...]:
        """Why there is no link, or none that works."""
        reason = "" if isinstance(self.outcome, Offer) else self.outcome.reason
        return tuple(each for each in (reason, self.key[1]) if each)


@click.group("domain-connect")
def domain_connect() -> None:
    """Have customers publish the relay's records with a click at their DNS host.

    That works at hosts that take part in Domain Connect and have been given our template:
    `template` prints it, `key` prints the records that links are verified with. Both need
    [domain_connect] in the file of --config.

    \b
    Examples:
      alignd domain-connect template > helpdesk-mail.json
      alignd domain-connect link mycompany.com
    """


@domain_connect.command()
@click.option(
    "--template-version",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Its number: count up when the host gets a changed one.",
)
@CONFIG
def template(template_version: int, config: Path) -> None:
    """Print our template, as JSON for DNS hosts and their public collection.

    It has the records of the general options, not those of tenants: relay.spf_include, which the
    host merges into the SPF record that is there, and the key of dkim.delegate.

    \b
    Example:
      alignd domain-connect template --template-version 2
    """
    service = _service(config)
    made = make_template(service.configuration, service.provider, template_version)
    click.echo(json.dumps(made, indent=4))


@domain_connect.command()
@CONFIG
def key(config: Path) -> None:
    """Print the TXT records of the public key, which verify our links.

    The records alone are on standard output, one on each line.

    \b
    Example:
      alignd domain-connect key
    """
    service = _service(config)
    text = _KEY_TEXT.format(name=service.record_name, path=service.options.key_file)
    for line in fold(text):
        click.echo(line.text, err=True)
    print_lines(verbatim(record) for record in make_records(service.key.public_key))


@domain_connect.command()
@click.argument("domain")
@click.option(
    "--only",
    type=click.Choice([group.value for group in Group]),
    help="Apply only these records of the template.",
)
@ZONE
@CONFIG
@click.pass_obj
def link(
    reach: Reach | None, domain: str, only: str | None, zone: Path | None, config: Path
) -> None:
    """Print the link with which the owner of DOMAIN publishes the records.

    DNS and the host of DOMAIN are asked whether there can be one. He opens it, logs in at his DNS
    host and agrees there; nothing is changed before. The link is signed for DOMAIN alone.

    Exit status 0 with a link; 1 if there is none; 2 if DNS or the host did not say.

    \b
    Example:
      alignd domain-connect link mycompany.com --only spf
    """
    service = _service(config)
    groups = (Group(only),) if only else ()
    if missing := [each.value for each in groups if each not in groups_of(service.configuration)]:
        raise InputError(f"--only: the template has no records of {missing[0]}")
    checked = _check(service, domain, zone, reach or Reach())
    for problem in checked.problems:
        click.echo(printable(problem), err=True)
    if isinstance(checked.outcome, Offer) and checked.key[0] is not Ternary.NO:
        click.echo(service.link(checked.outcome, groups))
    sys.exit(checked.exit_status)


@domain_connect.command()
@click.argument("domain")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@ZONE
@CONFIG
@click.pass_obj
def check(
    reach: Reach | None, domain: str, as_json: bool, zone: Path | None, config: Path
) -> None:
    """Say whether there can be a link for DOMAIN, and where its DNS is edited.

    That is: its DNS host takes part in Domain Connect and knows our template, and our key is
    published.

    Exit status 0 if so; 1 if not; 2 if DNS or the host did not say.

    \b
    Example:
      alignd domain-connect check mycompany.com
    """
    service = _service(config)
    checked = _check(service, domain, zone, reach or Reach())
    if as_json:
        click.echo(json_line(_json(checked, service)))
    else:
        print_lines(_lines(checked, service))
    sys.exit(checked.exit_status)


def _service(path: Path) -> Service:
    configuration, _ = load_or_exit(path, exit_status=EXIT_INCOMPLETE)
    options = configuration.domain_connect
    if options.provider is None:
        raise InputError(f"{path}: Domain Connect is off; domain_connect.provider switches it on")
    try:
        return Service(configuration, options.provider, load_signing_key(options.key_file))
    except ConfigError as error:
        print_problems(error)
        sys.exit(EXIT_INCOMPLETE)


def _check(service: Service, text: str, zone: Path | None, reach: Reach) -> _Checked:
    try:
        domain = Domain.parse(text)
    except DomainError as error:
        raise InputError(str(error)) from error
    lookups = open_lookups(zone, service.configuration.dns)
    if domain in FreemailDomains():
        reason = f"{domain} is a mailbox provider's: it will never authorise this relay"
        outcome: Offer | Unsupported | Unknown = Unsupported(reason)
    else:
        outcome = make_discovery(service.configuration, lookups, reach).offer(
            domain, service.template
        )
    return _Checked(
        domain, outcome, is_published(service.key.public_key, service.record_name, lookups())
    )


def _lines(checked: _Checked, service: Service) -> Iterator[Line]:
    outcome = checked.outcome
    if place := outcome.place:
        provider = place.provider
        yield from fold(f"{checked.domain}: its DNS is at {provider.name} ({provider.id}).")
        if provider.control_panel:
            yield verbatim(f"By hand: {provider.control_panel}")
    if isinstance(outcome, Offer):
        yield from fold(f"It knows the template {service.template}.")
        if checked.key[0] is Ternary.YES:
            yield from fold(f"Our key is published at {service.record_name}.")
    said = "Not known" if checked.exit_status == EXIT_INCOMPLETE else "No link"
    for problem in checked.problems:
        yield from fold(f"{said} for {checked.domain}: {problem}.")


def _json(checked: _Checked, service: Service) -> dict[str, Any]:
    outcome = checked.outcome
    place = outcome.place
    supported = {Offer: True, Unsupported: False, Unknown: None}[type(outcome)]
    return {
        "domain": checked.domain.name,
        "zone": place.zone.name if place else None,
        "host": place.host if place else None,
        "dns_provider": {
            "id": place.provider.id,
            "name": place.provider.name,
            "control_panel": place.provider.control_panel or None,
        }
        if place
        else None,
        "template": str(service.template),
        "supported": supported,
        "key_published": _TRUTH[checked.key[0]],
        "problems": list(checked.problems),
    }
