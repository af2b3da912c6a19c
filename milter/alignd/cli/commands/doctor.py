"""`alignd doctor`: checks the setup of this relay, and says how to fix what is wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from alignd.cli.options import (
    CONFIG,
    EXIT_CANNOT_SAY,
    SOCKET,
    ZONE,
    CannotSayError,
    load,
    open_lookups,
    postfix_place,
)
from alignd.cli.render.examination import as_json, report
from alignd.config.domain_lists import SuffixList
from alignd.config.option_types import Nameserver
from alignd.config.settings import DnsOptions
from alignd.doctor.evidence import machine
from alignd.doctor.evidence.postconf import PostfixError, read_postfix
from alignd.doctor.examination import Facts, Result, examine, result
from alignd.doctor.facts import Machine, Resolvers
from alignd.doctor.findings import CannotSay
from alignd.mail.mailbox import Mailbox, MailboxError
from alignd.mailauth.dns import Lookup, LookupFailed
from alignd.postfix.chain import reached
from alignd.postfix.config import PostfixConfig
from alignd.postfix.endpoint import Endpoint
from alignd.resolver.resolver import ResolverError, nameservers_of, response_time
from alignd.service.self_check import DNS_SECONDS

_MAIL_OWNER = "postfix"
_EXIT = {Result.FINE: 0, Result.FOUND: 1, Result.UNKNOWN: EXIT_CANNOT_SAY}


@click.command()
@click.option(
    "--postfix-config",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The directory of main.cf and master.cf, if not Postfix's own.",
)
@click.option(
    "--application-address",
    metavar="ADDRESS",
    help="The address that the application sends from, which must not be notifications.address.",
)
@SOCKET
@ZONE
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON object.")
@CONFIG
def doctor(
    postfix_config: Path | None,
    application_address: str | None,
    socket: str | None,
    zone: Path | None,
    as_json_: bool,
    config: Path,
) -> None:
    """Check the setup of this relay and say how to fix what is wrong. Changes nothing.

    Looks at the DNS of the notifications domain and of the relay, at Postfix's main.cf and
    master.cf, at the way from Postfix to alignd, and at this machine. Run it as root, to see
    what Postfix's user may reach. Exit status 0 when nothing is wrong; 1 when something is; 2
    when nothing was found, but something could not be checked.

    \b
    Examples:
      alignd doctor
      alignd doctor --application-address helpdesk@mycompany.com
      alignd doctor --postfix-config /etc/postfix-out --zone what-if.zone --json
    """
    configuration, signer = load(config, exit_status=EXIT_CANNOT_SAY)
    application = _mailbox(application_address)
    _say_that_it_takes_time()
    postfix = _postfix(postfix_config)
    place, is_handed_over = _place(configuration.milter.socket, socket, postfix)
    topics = examine(
        Facts(
            configuration=configuration,
            signer=signer,
            place=place,
            is_handed_over=is_handed_over,
            postfix=postfix,
            machine=_machine(configuration.dns, place, postfix, is_asked=zone is None),
            new_lookup=_lookups(zone, configuration.dns),
            suffixes=SuffixList(),
            application=application,
        )
    )
    if as_json_:
        click.echo(json.dumps(as_json(topics)))
    else:
        click.echo("\n".join(report(topics)))
    sys.exit(_EXIT[result(topics)])


def _say_that_it_takes_time() -> None:
    """Tell a person; without a nameserver that answers it takes half a minute."""
    if sys.stderr.isatty():
        click.echo("Looking at DNS, at Postfix and at this machine ...", err=True)


def _postfix(directory: Path | None) -> PostfixConfig | CannotSay:
    try:
        return read_postfix(directory)
    except PostfixError as error:
        return CannotSay(f"Postfix: {error}")


def _place(
    socket: str, said: str | None, postfix: PostfixConfig | CannotSay
) -> tuple[Endpoint, bool]:
    """Where alignd is; one that is relative in Postfix's words is below its queue directory."""
    endpoint, is_handed_over = postfix_place(socket, said)
    if isinstance(postfix, PostfixConfig):
        endpoint = reached(endpoint, postfix, None)
    return endpoint, is_handed_over


def _machine(
    dns: DnsOptions, place: Endpoint, postfix: PostfixConfig | CannotSay, *, is_asked: bool
) -> Machine:
    user = postfix.value("mail_owner") if isinstance(postfix, PostfixConfig) else _MAIL_OWNER
    return Machine(
        interfaces=machine.interfaces(),
        socket=machine.socket_state(place, user),
        resolvers=_resolvers(dns, is_asked=is_asked),
        descriptors=machine.descriptors(),
        cores=len(os.sched_getaffinity(0)),
        suffixes_released=SuffixList.released(),
        today=datetime.now(tz=UTC).date(),
    )


def _resolvers(dns: DnsOptions, *, is_asked: bool) -> Resolvers:
    def took(server: Nameserver) -> float | LookupFailed | None:
        return response_time(server, dns.timeout) if is_asked else None

    try:
        return {server: took(server) for server in nameservers_of(dns)}
    except ResolverError as error:
        return CannotSay(f"whether DNS answers: {error}")


def _lookups(zone: Path | None, dns: DnsOptions) -> Callable[[], Lookup]:
    """Makes lookups with time enough; all of them fail where there is nobody to ask."""
    patient = dns.model_copy(update={"timeout": DNS_SECONDS})
    try:
        return open_lookups(zone, patient, shared=False)
    except CannotSayError as error:
        if zone is not None:
            raise
        nobody = _Nobody(LookupFailed(error.message))
        return lambda: nobody


class _Nobody:
    """DNS where there is no nameserver."""

    def __init__(self, failure: LookupFailed) -> None:
        self._failure = failure

    def look_up(self, name: str, record_type: object) -> LookupFailed:
        del name, record_type
        return self._failure


def _mailbox(address: str | None) -> Mailbox | None:
    if address is None:
        return None
    try:
        return Mailbox.from_address(address)
    except MailboxError as error:
        problem = f"--application-address: not an address: {address!r} ({error})"
        raise CannotSayError(problem) from error
