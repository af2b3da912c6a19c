"""The command line: `alignd serve`, `explain` and `check-config`."""

from __future__ import annotations

import json
import os
import sys
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import click

from alignd import configfile
from alignd.configfile import ConfigError
from alignd.dkim import Signer
from alignd.explain import printable, story
from alignd.freemail import FreemailDomains
from alignd.lookup import Lookup
from alignd.message import HeaderField, Message, MessageError, split_message, unmapped
from alignd.report import as_json
from alignd.resolver import Resolver, ResolverError, nameservers_of
from alignd.review import Reviewer
from alignd.settings import Configuration, Dns
from alignd.signer import load_signer
from alignd.suffixes import SuffixList
from alignd.zone import Zone, ZoneError

EXIT_CANNOT_SAY = 2

_CONFIG = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default=configfile.DEFAULT_PATH,
    show_default=True,
    help="The configuration file.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="alignd")
def main() -> None:
    """Keep helpdesk mail out of the DMARC trap.

    alignd predicts what receivers' DMARC checks will say of a message that this relay sends.
    What will pass, it leaves alone; what will not, it sends from the notifications domain, with
    Reply-To set to the author.

    \b
    Start here:
      alignd check-config --config /etc/alignd/alignd.conf
      alignd explain message.eml --mail-from marky@mycompany.com
    """


@main.command()
@_CONFIG
def serve(config: Path) -> None:
    """Run the milter until TERM or INT.

    Postfix connects to the socket of the configuration; see conf/postfix for its lines. The log
    goes to standard error, one line a message. A configuration that is wrong ends the command at
    once with exit status 78, a socket or nameserver that cannot be used with 69.
    """
    # Imported here: the other commands work where libmilter is not installed.
    from alignd.bridge import ListenError  # noqa: PLC0415
    from alignd.journal import Journal  # noqa: PLC0415
    from alignd.supervisor import Supervisor  # noqa: PLC0415
    from alignd.worker import Setup  # noqa: PLC0415

    def load() -> Setup:
        configuration = configfile.load(config)
        nameservers_of(configuration.dns)  # in time to complain
        return Setup(configuration, load_signer(configuration.dkim))

    try:
        sys.exit(Supervisor(load, Journal(sys.stderr)).run())
    except ConfigError as error:
        _show(error)
        sys.exit(os.EX_CONFIG)
    except ResolverError as error:
        click.echo(f"alignd: cannot serve: {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)
    except ListenError as error:
        click.echo(f"alignd: cannot serve on {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)


@main.command("check-config")
@_CONFIG
def check_config(config: Path) -> None:
    """Show every problem of the configuration as path:line: problem.

    Exit status 0 when there is none, with a line of summary, else 78.

    \b
    Example:
      alignd check-config --config conf/alignd.conf
    """
    configuration, _ = _load(config, exit_status=os.EX_CONFIG)
    relay = configuration.relay
    click.echo(
        f"{config}: fine. Relay {relay.hostname} with {len(relay.addresses)} addresses, "
        f"notifications from {configuration.notifications.address.address}, "
        f"{len(configuration.tenant)} tenants."
    )


@main.command()
@click.argument("message", type=click.Path(path_type=Path))
@click.option(
    "--mail-from", required=True, help="The envelope sender; '<>' or nothing for a null one."
)
@click.option("--rcpt", multiple=True, help="An envelope recipient; may be given again.")
@click.option(
    "--client", default="127.0.0.1", show_default=True, help="The IP address of the SMTP client."
)
@click.option("--login", default="", help="The name that the client logged in with.")
@click.option(
    "--zone",
    type=click.Path(path_type=Path),
    help="Answer DNS from this master file instead of the network.",
)
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON object.")
@_CONFIG
def explain(  # noqa: PLR0913, PLR0917  click hands over one argument an option
    message: Path,
    mail_from: str,
    rcpt: tuple[str, ...],
    client: str,
    login: str,
    zone: Path | None,
    as_json_: bool,
    config: Path,
) -> None:
    """Say what the milter would do with MESSAGE (a file), and why. Changes nothing.

    A zone file holds records with absolute names; the comment lines '; SERVFAIL name [TYPE]' and
    '; TIMEOUT name [TYPE]' declare failures. Exit status 0 when it could say, else 2.

    \b
    Examples:
      alignd explain reply.eml --mail-from marky@mycompany.com
      alignd explain reply.eml --mail-from '<>' --zone what-if.zone --json
    """
    configuration, signer = _load(config, exit_status=EXIT_CANNOT_SAY)
    header, body = _read_message(message)
    lookup = _lookup(zone, configuration.dns)
    reviewer = Reviewer(configuration, SuffixList(), signer, FreemailDomains(), time.time)
    review = reviewer.review(
        Message(
            envelope_sender=_without_brackets(mail_from),
            recipients=tuple(map(_without_brackets, rcpt)),
            header=header,
            client=_client(client),
            login=login,
            body=body,
        ),
        lookup,
    )
    if as_json_:
        click.echo(json.dumps(as_json(review)))
    else:
        click.echo("\n".join(story(review, header)))


def _load(path: Path, exit_status: int) -> tuple[Configuration, Signer]:
    try:
        configuration = configfile.load(path)
        return configuration, load_signer(configuration.dkim)
    except ConfigError as error:
        _show(error)
        sys.exit(exit_status)


def _show(error: ConfigError) -> None:
    for problem in error.problems:
        click.echo(printable(str(problem)), err=True)


def _read_message(path: Path) -> tuple[tuple[HeaderField, ...], bytes]:
    try:
        return split_message(path.read_bytes())
    except OSError as error:
        raise _CannotSay(f"{path}: {error.strerror}") from error
    except MessageError as error:
        raise _CannotSay(f"{path}: not a message: {error}") from error


def _lookup(zone: Path | None, dns: Dns) -> Lookup:
    try:
        if zone is None:
            return Resolver(dns, report=lambda _: None).for_message()
        return Zone.parse(zone.read_text(encoding="utf-8"), str(zone))
    except OSError as error:
        raise _CannotSay(f"{zone}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _CannotSay(f"{zone}: not a zone file: not UTF-8 text") from error
    except ZoneError as error:
        raise _CannotSay(f"{error}; not a zone file") from error
    except ResolverError as error:
        raise _CannotSay(f"{error}, or give --zone") from error


def _client(text: str) -> IPv4Address | IPv6Address:
    try:
        return unmapped(text)
    except ValueError:
        raise _CannotSay(f"--client: not an IP address: {text!r}") from None


def _without_brackets(address: str) -> str:
    return address.strip().removeprefix("<").removesuffix(">")


class _CannotSay(click.ClickException):
    exit_code = EXIT_CANNOT_SAY

    def __init__(self, problem: str) -> None:
        super().__init__(printable(problem))


if __name__ == "__main__":
    main(prog_name="alignd")
