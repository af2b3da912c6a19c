"""`alignd check-config`: show every problem of the configuration."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from alignd.cli.options import CONFIG, load_directory, load_or_exit, print_problems
from alignd.config.file import ConfigError, ConfigProblem
from alignd.config.opendkim import split_table_name
from alignd.config.settings import (
    Configuration,
    DomainConnectOptions,
    NotifyOptions,
    WebOptions,
)
from alignd.config.signer import table_problems
from alignd.doctor.evidence.accounts import account_of, unreadable_to
from alignd.mail.domain import Domain
from alignd.mail.ip_address import is_documentation
from alignd.mail.printable import printable
from alignd.return_path.directory import Directory
from alignd.return_path.key_file import KeyFileError, load_keyring
from alignd.return_path.keyring import Keyring, KeyState
from alignd.web.token_file import load_tokens

SERVE, WEB = "serve", "web"
SERVICES = (SERVE, "return", WEB)
"""The commands that run one."""
_STATES = {KeyState.SIGN: "signs", KeyState.ACCEPT: "accepted", KeyState.RETIRED: "retired"}


@click.command("check-config")
@click.option(
    "--service",
    type=click.Choice(SERVICES),
    help="Check only what this service reads.",
)
@CONFIG
def check_config(service: str | None, config: Path) -> None:
    """Show every problem of the configuration as path:line: problem.

    That is also of the tables and key files that it names. Exit status 0 if there is none, with a
    summary; else 78. Entries of OpenDKIM's tables that do not do what was probably meant are shown
    too, and addresses of examples: they change nothing about the status.

    As root, it also looks whether the users of the services may read those files. With --service
    it reads only what that service reads, as who runs it: the unit does so before a reload.

    \b
    Examples:
      alignd check-config
      alignd check-config --config /tmp/new.conf --service serve
    """
    configuration, signer = load_or_exit(config, exit_status=os.EX_CONFIG)
    directory = load_directory(configuration, exit_status=os.EX_CONFIG)
    told: list[str] = []
    if service in {None, SERVE}:
        told += _told(configuration.notify)
    if service in {None, WEB}:
        told += (*_connected(configuration.domain_connect), *_page(configuration.web))
    if service is None and (problems := tuple(_unreadable(configuration, config))):
        print_problems(ConfigError(problems))
        sys.exit(os.EX_CONFIG)
    for problem in (*table_problems(signer), *_of_examples(configuration, config)):
        click.echo(printable(str(problem)), err=True)
    relay, tenants = configuration.relay, len(configuration.tenant)
    click.echo(
        f"{config}: fine. Relay {relay.hostname} with "
        f"{_counted(len(relay.addresses), 'address', 'addresses')}, "
        f"notifications from {configuration.notifications.address.address}, "
        f"{_counted(tenants, 'tenant', 'tenants')}."
    )
    for line in (*_return_addresses(configuration, directory), *told):
        click.echo(printable(line))


def _unreadable(configuration: Configuration, config: Path) -> Iterator[ConfigProblem]:
    """The files that the user of a service may not read; only root can tell."""
    if os.geteuid():
        return
    for unit, user, paths in _files_of_services(configuration, config):
        account = account_of(unit, user)
        if account is None:
            continue
        for path, why in unreadable_to(account, paths).items():
            yield ConfigProblem(
                path, 1, f"cannot be read by {account.name}, the user of {unit}: {why}"
            )


def _files_of_services(
    configuration: Configuration, config: Path
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What each service reads that is on: its unit, its user by default, and paths."""
    opendkim, web = configuration.dkim.opendkim, configuration.web
    tables = (opendkim.signing_table, opendkim.key_table) if opendkim else ()
    keys = {each.return_path.keys for each in configuration.all_settings} - {""}
    own = (str(config), *sorted(keys))
    yield "alignd.service", "alignd", (*own, *(split_table_name(name)[1] for name in tables))
    if keys:
        yield "alignd-return.service", "alignd-return", own
    if files := tuple(filter(None, (web.tokens, web.share_keys))):
        yield "alignd-web.service", "alignd-web", (str(config), *files)


def _of_examples(configuration: Configuration, config: Path) -> Iterator[ConfigProblem]:
    """Addresses that only documents have, and no relay."""
    listed = {each for view in configuration.all_settings for each in view.relay.addresses}
    if left := sorted(map(str, filter(is_documentation, listed))):
        text = f"relay.addresses: {', '.join(left)}: for examples, and no address of a relay"
        yield ConfigProblem(str(config), 1, text)


def _told(options: NotifyOptions) -> tuple[str, ...]:
    """Who is told of events, a line; or print what is wrong with their files and exit."""
    if not options.is_on:
        return ()
    # Its libraries take a moment to load, and mostly nobody is told.
    from alignd.ledger.notify.targets import problems_of_files  # noqa: PLC0415

    if problems := tuple(problems_of_files(options)):
        print_problems(ConfigError(problems))
        sys.exit(os.EX_CONFIG)
    # Of the URL its host alone: the rest may be a secret.
    host = urlsplit(options.webhook).hostname
    names = [each for each in (host, *options.command[:1]) if each]
    return (f"Events are told to {' and '.join(names)}.",)


def _connected(options: DomainConnectOptions) -> tuple[str, ...]:
    """What links are for, a line; or print what is wrong with their key and exit."""
    if options.provider is None:
        return ()
    from alignd.domain_connect.signing_key import load_signing_key  # noqa: PLC0415

    try:
        load_signing_key(options.key_file)
    except ConfigError as error:
        print_problems(error)
        sys.exit(os.EX_CONFIG)
    return (f"Domain Connect: the template {options.provider}/{options.service}.",)


def _return_addresses(configuration: Configuration, directory: Directory) -> Iterator[str]:
    """A line for each key file: its keys by state, and whose return addresses they are for."""
    domains: dict[str, set[Domain]] = {}
    for settings in configuration.all_settings:
        if settings.return_path.keys:
            domains.setdefault(settings.return_path.keys, set()).add(settings.return_domain)
    for path, those in domains.items():
        keyring = directory.domains[min(those)].keyring
        assert isinstance(keyring, Keyring), "they were loaded, or the command has ended"
        keys = _by_state(keyring)
        where = str(min(those)) if len(those) == 1 else f"{len(those)} domains"
        yield f"Return addresses are on in {where}. Keys in {path}: {keys}."


def _page(options: WebOptions) -> tuple[str, ...]:
    """A line for each file of the page; or print what is wrong with them and exit."""
    lines: list[str] = []
    problems: list[ConfigProblem] = []
    try:
        if options.tokens:
            lines.append(f"Tokens in {options.tokens}: {len(load_tokens(options.tokens).all)}.")
    except KeyFileError as error:
        problems += error.problems
    try:
        if options.share_keys:
            keys = _by_state(load_keyring(options.share_keys))
            lines.append(f"Links are signed. Keys in {options.share_keys}: {keys}.")
    except KeyFileError as error:
        problems += error.problems
    if problems:
        print_problems(ConfigError(tuple(problems)))
        sys.exit(os.EX_CONFIG)
    return tuple(lines)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number or 'no'} {one if number == 1 else many}"


def _by_state(keyring: Keyring) -> str:
    """How many keys there are in each state."""
    counts = Counter(key.state for key in keyring.keys.values())
    return ", ".join(f"{counts[state]} {word}" for state, word in _STATES.items())
