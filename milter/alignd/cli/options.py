"""What the commands share: their options, how they load things, and how they complain."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from alignd.config.endpoint import Endpoint, HandedOverSocket, MilterSocket, parse_endpoint
from alignd.config.file import (
    DEFAULT_PATH,
    ConfigError,
    load_configuration,
)
from alignd.config.settings import Configuration, DnsOptions
from alignd.config.signer import load_signer
from alignd.mail.ip_address import IpAddress, parse_ip_address
from alignd.mail.printable import printable
from alignd.mailauth.dkim import Signer
from alignd.mailauth.dns import Lookup
from alignd.postfix.layouts import DEFAULT_ENDPOINT
from alignd.resolver.resolver import Resolver, ResolverError, nameservers_of
from alignd.resolver.zone import Zone, ZoneError

EXIT_REWRITTEN = 1
EXIT_CANNOT_SAY = 2

# Without the checks of click, whose complaints would be those of a wrong command line.
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


class _IpAddress(click.ParamType[IpAddress]):
    """The IP address of a client."""

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


class CannotSayError(click.ClickException):
    """A question that cannot be answered; the text says where the trouble is."""

    exit_code = EXIT_CANNOT_SAY

    def __init__(self, problem: str) -> None:
        super().__init__(printable(problem))


def load(path: Path, exit_status: int) -> tuple[Configuration, Signer]:
    """The configuration and the signer that it names; ends the program when it is wrong."""
    try:
        configuration = load_configuration(path)
        return configuration, load_signer(configuration.dkim)
    except ConfigError as error:
        show(error)
        sys.exit(exit_status)


def show(error: ConfigError) -> None:
    """Print every problem of the configuration."""
    for problem in error.problems:
        click.echo(printable(str(problem)), err=True)


def postfix_endpoint(socket: MilterSocket, option: str | None) -> tuple[Endpoint, bool]:
    """The endpoint where Postfix connects to *socket*, and whether it is a guess.

    *option* is the value of --socket, which overrides the configuration.

    Raises:
        CannotSayError: *option* is no endpoint in Postfix's spelling.
    """
    if option is not None:
        try:
            return parse_endpoint(option), False
        except ValueError:
            problem = (
                f"--socket: not a milter in Postfix's words: {option!r}; "
                "write 'inet:127.0.0.1:8899' or 'unix:/run/alignd/alignd.sock'"
            )
            raise CannotSayError(problem) from None
    if isinstance(socket, HandedOverSocket):
        return DEFAULT_ENDPOINT, True
    return socket.endpoint, False


def open_lookup(zone: Path | None, dns: DnsOptions) -> Lookup:
    """DNS for one message; see `open_lookups`."""
    return open_lookups(zone, dns)()


def open_lookups(
    zone: Path | None, dns: DnsOptions, *, shared: bool = True
) -> Callable[[], Lookup]:
    """DNS for one command, the file *zone*, or else the network: a Lookup for each message.

    *shared* gives them one memory. Without, no domain suffers from the silence of another: one
    resolver that has met silence takes DNS for down for a while.

    Raises:
        CannotSayError: the file is no zone file, or there is no nameserver to ask.
    """
    try:
        if zone is None:
            nameservers_of(dns)  # before the first question, say that there is nobody to ask
            if shared:
                return Resolver(dns, report=lambda _: None).for_message
            return lambda: Resolver(dns, report=lambda _: None).for_message()
        parsed = Zone.parse(zone.read_text(encoding="utf-8"), str(zone))
        return lambda: parsed
    except OSError as error:
        raise CannotSayError(f"{zone}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CannotSayError(f"{zone}: not a zone file: not UTF-8 text") from error
    except ZoneError as error:
        raise CannotSayError(f"{error}; not a zone file") from error
    except ResolverError as error:
        raise CannotSayError(f"{error}, or give --zone") from error
