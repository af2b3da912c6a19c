"""Shares options between the commands, loads what they name, and reports errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import click

from alignd.config.endpoint import Endpoint, HandedOverSocket, MilterSocket, parse_endpoint
from alignd.config.file import (
    DEFAULT_PATH,
    ConfigError,
    load_configuration,
)
from alignd.config.nameservers import ResolverError, nameservers_of
from alignd.config.settings import Configuration, DnsOptions
from alignd.config.signer import TableSigner, load_signer
from alignd.mail.ip_address import IpAddress, parse_ip_address
from alignd.mail.printable import printable
from alignd.mailauth.dns import Lookup
from alignd.postfix.layouts import DEFAULT_ENDPOINT
from alignd.resolver.resolver import Resolver
from alignd.resolver.zone import Zone, ZoneError
from alignd.return_path.directory import Directory, make_directory
from alignd.return_path.key_file import KeyFileError, load_keyrings

EXIT_REWRITTEN = 1
"""At least one message is rewritten."""
EXIT_INCOMPLETE = 2
"""Something that was asked could not be read, checked or predicted."""

# click does not check the file: to click, an unreadable one is a wrong command line (status 64).
FILE = click.Path(path_type=Path, readable=False)

CONFIG = click.option(
    "--config",
    "config",
    type=FILE,
    default=DEFAULT_PATH,
    show_default=True,
    help="The configuration file.",
)

ZONE = click.option(
    "--zone",
    type=FILE,
    help="Answer DNS from this master file instead of the network.",
)

SOCKET = click.option(
    "--socket",
    metavar="SOCKET",
    help="Where Postfix connects to alignd, such as inet:127.0.0.1:8899, if not at milter.socket.",
)


class Format(Enum):
    """A format for scripts."""

    JSON = "json"
    CSV = "csv"


class _IpAddress(click.ParamType[IpAddress]):
    """An IP address."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> IpAddress:
        try:
            return parse_ip_address(value)
        except ValueError:
            self.fail(f"not an IP address: {value!r}", param, ctx)


CLIENT = click.option(
    "--client",
    type=_IpAddress(),
    default="127.0.0.1",
    show_default=True,
    help="The IP address of the SMTP client.",
)

LOGIN = click.option("--login", default="", help="The name that the client logged in with.")


class InputError(click.ClickException):
    """A file, an option or a nameserver cannot be used; ends the command with status 2."""

    exit_code = EXIT_INCOMPLETE

    def __init__(self, problem: str) -> None:
        super().__init__(printable(problem))


def load_or_exit(path: Path, exit_status: int) -> tuple[Configuration, TableSigner]:
    """Load the configuration and the signer that it names, or print what is wrong and exit."""
    try:
        configuration = load_configuration(path)
        return configuration, load_signer(configuration.dkim)
    except ConfigError as error:
        print_problems(error)
        sys.exit(exit_status)


def load_directory(configuration: Configuration, exit_status: int | None = None) -> Directory:
    """Load the keys of return addresses; the result is empty where they are off.

    Keys that cannot be used are a KeyTrouble in the directory; with *exit_status*, what is wrong
    with them is printed and the command exits.
    """
    try:
        keyrings = load_keyrings(configuration, strict=exit_status is not None)
    except KeyFileError as error:
        print_problems(error)
        sys.exit(exit_status)
    return make_directory(configuration, keyrings)


def print_problems(error: ConfigError) -> None:
    for problem in error.problems:
        click.echo(printable(str(problem)), err=True)


def postfix_endpoint(
    socket: MilterSocket, option: str | None, guess: Endpoint = DEFAULT_ENDPOINT
) -> tuple[Endpoint, bool]:
    """The endpoint where Postfix connects to *socket*, and whether it is a guess.

    *option* is the value of --socket, which overrides the configuration. *guess* is for a socket
    that systemd owns.

    Raises:
        InputError: *option* is not an endpoint as Postfix spells it.
    """
    if option is not None:
        try:
            return parse_endpoint(option), False
        except ValueError:
            problem = (
                f"--socket: not a milter as Postfix spells it: {option!r}; "
                "write 'inet:127.0.0.1:8899' or 'unix:/run/alignd/alignd.sock'"
            )
            raise InputError(problem) from None
    if isinstance(socket, HandedOverSocket):
        return guess, True
    return socket.endpoint, False


def open_lookup(zone: Path | None, dns: DnsOptions) -> Lookup:
    """Open DNS for one message; see `open_lookups`."""
    return open_lookups(zone, dns)()


def open_lookups(
    zone: Path | None, dns: DnsOptions, *, shared: bool = True
) -> Callable[[], Lookup]:
    """Open DNS for one command, from the file *zone* or else the network.

    Returns a function that makes the Lookup of one message. If *shared*, they share one cache and
    one circuit breaker; otherwise the silence of one domain's nameservers, which opens the
    breaker, does not fail the lookups of another domain.

    Raises:
        InputError: *zone* is not a zone file, or there is no nameserver.
    """
    if zone is not None:
        parsed = read_zone(zone)
        return lambda: parsed
    try:
        nameservers = nameservers_of(dns)
    except ResolverError as error:
        raise InputError(f"{error}, or give --zone") from error
    if shared:
        return Resolver(dns, nameservers, report=lambda _: None).for_message
    return lambda: Resolver(dns, nameservers, report=lambda _: None).for_message()


def read_zone(path: Path) -> Zone:
    """Read the zone file at *path*.

    Raises:
        InputError: it is none.
    """
    try:
        return Zone.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a zone file: not UTF-8 text") from error
    except ZoneError as error:
        raise InputError(f"{error}; not a zone file") from error
