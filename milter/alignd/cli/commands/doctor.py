"""`alignd doctor`: check the setup of this relay and show how to fix problems."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    FILE,
    SOCKET,
    ZONE,
    InputError,
    load_or_exit,
    open_lookups,
    postfix_endpoint,
)
from alignd.cli.render.examination import examination_lines
from alignd.cli.render.json import json_line
from alignd.cli.text import print_lines
from alignd.config.domain_lists import SuffixList
from alignd.config.endpoint import Endpoint, MilterSocket
from alignd.config.file import read_text
from alignd.config.nameservers import Nameservers, ResolverError, nameservers_of
from alignd.config.opendkim import split_table_name
from alignd.config.option_types import Nameserver
from alignd.config.settings import Configuration, DnsOptions, OpenDkim
from alignd.config.signer import TableSigner, table_problems
from alignd.doctor.evidence import accounts, machine, opendkim, rspamd, service, tables
from alignd.doctor.evidence.postconf import PostfixError, read_postfix
from alignd.doctor.evidence.return_leg import Instance, read_return_leg
from alignd.doctor.examination import Facts, Outcome, examine, outcome
from alignd.doctor.facts import Files, Machine, Reach, Resolvers, TableLookup
from alignd.doctor.findings import Unknown
from alignd.doctor.milters import other_milters
from alignd.doctor.report.document import examination_json, report_text
from alignd.doctor.report.file import SaveError, save_report
from alignd.mail.mailbox import Mailbox, MailboxError
from alignd.mailauth.dns import Lookup, LookupFailed
from alignd.postfix.chain import outside_chroot, read_chain
from alignd.postfix.config import PostfixConfig
from alignd.resolver.resolver import response_time
from alignd.return_path.directory import KeyTrouble, make_directory
from alignd.return_path.key_file import ReadKeys, load_keyrings
from alignd.return_path.keyring import Keyring
from alignd.service.in_force import describe, installed_versions
from alignd.service.self_check import DNS_SECONDS
from alignd.service.setup import Leg, Setup, digest_of

_MAIL_OWNER = "postfix"
_EXIT = {Outcome.CLEAN: 0, Outcome.FINDINGS: 1, Outcome.UNKNOWN: EXIT_INCOMPLETE}


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the configuration of Postfix and of the signers is."""

    postfix: Path | None
    opendkim: Path
    return_postfix: Path | None
    return_opendkim: Path


def _takes_places(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options of `_Places`, as one."""

    @click.option(
        "--postfix-config",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The directory of main.cf and master.cf, if not Postfix's default.",
    )
    @click.option(
        "--opendkim-config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default=opendkim.DEFAULT_PATH,
        show_default=True,
        help="The configuration of the OpenDKIM behind alignd, where dkim.opendkim is set.",
    )
    @click.option(
        "--return-postfix-config",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The directory of the Postfix that takes mail for return addresses, if it is another "
        "instance, and none that postmulti(1) knows.",
    )
    @click.option(
        "--return-opendkim-config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default=opendkim.RETURN_PATH,
        show_default=True,
        help="The configuration of the OpenDKIM that signs what comes back.",
    )
    @wraps(command)
    def with_places(
        postfix_config: Path | None,
        opendkim_config: Path,
        return_postfix_config: Path | None,
        return_opendkim_config: Path,
        **others: Any,
    ) -> None:
        places = _Places(
            postfix_config, opendkim_config, return_postfix_config, return_opendkim_config
        )
        command(places, **others)

    return with_places


@click.command()
@_takes_places
@click.option(
    "--application-address",
    metavar="ADDRESS",
    help="The address that the application sends from; it must not be notifications.address.",
)
@SOCKET
@ZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--save",
    type=FILE,
    help="Also write the JSON object to this file, for the page on the relay: with the time, the "
    "relay's name and the exit status; the group of its directory may read it.",
)
@CONFIG
def doctor(
    places: _Places,
    application_address: str | None,
    socket: str | None,
    zone: Path | None,
    as_json: bool,
    save: Path | None,
    config: Path,
) -> None:
    """Check the setup of this relay and show how to fix problems. Changes nothing.

    Checks the DNS of the notifications domain and of the relay, Postfix's main.cf, master.cf and
    lookup tables, what the DKIM signer signs, the connection from Postfix to alignd, this machine,
    what the running service has in force and, where return.keys is set, the way back. Run it as
    root, so that it can check what Postfix's user may access. Exit status 0 if there are no
    findings; 1 if there are; 2 if there are none, but something could not be checked, and if
    the report could not be saved.

    \b
    Examples:
      alignd doctor
      alignd doctor --application-address helpdesk@mycompany.com
      alignd doctor --return-postfix-config /etc/postfix-return
      alignd doctor --postfix-config /etc/postfix-out --zone what-if.zone --json
      alignd doctor --save /var/lib/alignd-doctor/report.json
    """
    began = time.time()
    configuration, signer = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    application = _mailbox(application_address)
    _announce()
    postfix = _postfix(places.postfix)
    has_opendkim = configuration.dkim.opendkim is not None
    endpoint, is_handed_over = _endpoint(configuration.milter.socket, socket, postfix)
    found = _machine(configuration.dns, endpoint, postfix, is_asked=zone is None)
    keyrings = load_keyrings(configuration, strict=False)
    return_leg = (
        read_return_leg(
            configuration,
            keyrings,
            Instance(places.postfix, postfix),
            places.return_postfix,
            places.return_opendkim,
            _files(configuration, signer, config, keyrings, Leg.RETURN),
        )
        if keyrings
        else None
    )
    topics = examine(
        Facts(
            configuration=configuration,
            signer=signer,
            table_problems=tuple(map(str, table_problems(signer))),
            unreadable_tables=_unreadable(configuration.dkim.opendkim),
            opendkim=opendkim.read_opendkim(places.opendkim) if has_opendkim else None,
            read_rspamd=rspamd.read_rspamd,
            endpoint=endpoint,
            is_handed_over=is_handed_over,
            postfix=postfix,
            tables=_tables(places.postfix, postfix),
            reached=_reached(postfix, endpoint),
            machine=found,
            service=service.read_status(
                configuration.metrics.listen, is_running=found.socket.answers is True
            ),
            files=_files(configuration, signer, config, keyrings, Leg.OUTBOUND),
            new_lookup=_lookups(zone, configuration.dns),
            suffixes=SuffixList(),
            return_leg=return_leg,
            application=application,
        )
    )
    if as_json:
        click.echo(json_line(examination_json(topics)))
    else:
        print_lines(examination_lines(topics))
    status = _EXIT[outcome(topics)]
    if save is not None:
        name = configuration.ledger.name_of(configuration.relay)
        _save(save, report_text(topics, name, status, began))
    sys.exit(status)


def _save(path: Path, text: str) -> None:
    try:
        save_report(path, text)
    except SaveError as error:
        raise InputError(str(error)) from error


def _announce() -> None:
    """Tell a person at a terminal to wait: with silent nameservers it takes half a minute."""
    if sys.stderr.isatty():
        click.echo("Checking DNS, Postfix and this machine ...", err=True)


def _postfix(directory: Path | None) -> PostfixConfig | Unknown:
    try:
        return read_postfix(directory)
    except PostfixError as error:
        return Unknown(f"Postfix: {error}")


def _tables(directory: Path | None, postfix: PostfixConfig | Unknown) -> TableLookup:
    """Ask the tables of Postfix, from whose queue directory relative paths begin."""
    queue = postfix.value("queue_directory") if isinstance(postfix, PostfixConfig) else "/"
    return lambda names, keys: tables.look_up(names, keys, directory, queue)


def _unreadable(tables: OpenDkim | None) -> Mapping[str, str]:
    """The tables that alignd's user cannot read, as far as root can tell."""
    account = accounts.account_of("alignd.service", "alignd") if tables else None
    if account is None or tables is None or os.geteuid():
        return {}
    paths = [split_table_name(name)[1] for name in (tables.signing_table, tables.key_table)]
    return accounts.unreadable_to(account, paths)


def _reached(postfix: PostfixConfig | Unknown, endpoint: Endpoint) -> Mapping[Endpoint, Reach]:
    """Connect to each milter besides alignd, which is at *endpoint*, as Postfix's user."""
    if isinstance(postfix, Unknown):
        return {}
    user = postfix.value("mail_owner")
    endpoints = {each.endpoint for each in other_milters(read_chain(postfix, endpoint))}
    return {each: accounts.reach(each, user) for each in endpoints}


def _endpoint(
    socket: MilterSocket, option: str | None, postfix: PostfixConfig | Unknown
) -> tuple[Endpoint, bool]:
    """Where Postfix connects to alignd, as an absolute path; and whether it is a guess."""
    endpoint, is_handed_over = postfix_endpoint(socket, option)
    if isinstance(postfix, PostfixConfig):
        endpoint = outside_chroot(endpoint, postfix, None)
    return endpoint, is_handed_over


def _machine(
    dns: DnsOptions, endpoint: Endpoint, postfix: PostfixConfig | Unknown, *, is_asked: bool
) -> Machine:
    user = postfix.value("mail_owner") if isinstance(postfix, PostfixConfig) else _MAIL_OWNER
    resolvers, odd_lines = _resolvers(dns, is_asked=is_asked)
    return Machine(
        interfaces=machine.interfaces(),
        socket=machine.socket_state(endpoint, user),
        resolvers=resolvers,
        odd_lines=odd_lines,
        descriptors=machine.descriptors(),
        cores=len(os.sched_getaffinity(0)),
        suffixes_released=SuffixList.released(),
        today=datetime.now(tz=UTC).date(),
    )


def _files(
    configuration: Configuration,
    signer: TableSigner,
    path: Path,
    keyrings: Mapping[str, Keyring | KeyTrouble],
    leg: Leg,
) -> Files:
    try:
        nameservers = nameservers_of(configuration.dns)
    except ResolverError:
        nameservers = Nameservers(())  # the resolver's topic says so
    digest = digest_of(read_text(path))
    setup = Setup(
        *(configuration, signer, nameservers, str(path.absolute()), digest, leg),
        directory=make_directory(configuration, keyrings),
        keys={path: ReadKeys(keyring) for path, keyring in keyrings.items()},
    )
    return Files(describe(setup, time.time()), installed_versions())


def _resolvers(dns: DnsOptions, *, is_asked: bool) -> tuple[Resolvers, tuple[str, ...]]:
    """The nameservers, read as the service reads them, and what is wrong where they are named."""
    try:
        found = nameservers_of(dns)
    except ResolverError as error:
        return Unknown(f"whether DNS answers: {error}"), ()

    def took(server: Nameserver) -> float | LookupFailed | None:
        if not is_asked:
            return None
        return response_time(server, dns.timeout, over_tcp=found.over_tcp)

    return {server: took(server) for server in found.servers}, tuple(map(str, found.problems))


def _lookups(zone: Path | None, dns: DnsOptions) -> Callable[[], Lookup]:
    """Make lookups with a long timeout; without a nameserver, lookups that fail."""
    patient = dns.model_copy(update={"timeout": DNS_SECONDS})
    try:
        return open_lookups(zone, patient, shared=False)
    except InputError as error:
        if zone is not None:
            raise
        no_nameserver = _NoNameserver(LookupFailed(error.message))
        return lambda: no_nameserver


class _NoNameserver:
    """A Lookup without a nameserver: every query fails with the same reason."""

    def __init__(self, failure: LookupFailed) -> None:
        self._failure = failure

    def look_up(self, name: str, record_type: object, *, is_private: bool = False) -> LookupFailed:
        del name, record_type, is_private
        return self._failure


def _mailbox(address: str | None) -> Mailbox | None:
    if address is None:
        return None
    try:
        return Mailbox.from_address(address)
    except MailboxError as error:
        problem = f"--application-address: not an address: {address!r} ({error})"
        raise InputError(problem) from error
