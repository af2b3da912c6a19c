"""`alignd serve`: runs the milter."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from alignd.cli.options import CONFIG, show
from alignd.config.file import ConfigError, load_configuration
from alignd.config.signer import load_signer
from alignd.mail.printable import printable
from alignd.resolver.resolver import ResolverError, nameservers_of


@click.command()
@CONFIG
def serve(config: Path) -> None:
    """Run the milter until TERM or INT.

    Postfix connects to the socket of the configuration; see conf/postfix for its lines. The log
    goes to standard error, one line a message. A configuration that is wrong ends the command at
    once with exit status 78, a socket or nameserver that cannot be used with 69.

    \b
    Example:
      alignd serve --config /etc/alignd/alignd.conf
    """
    # Imported here: the other commands work where libmilter is not installed.
    from alignd.mta.libmilter import ListenError  # noqa: PLC0415
    from alignd.service.supervisor import Supervisor  # noqa: PLC0415
    from alignd.service.worker import Setup  # noqa: PLC0415
    from alignd.telemetry.log import MessageLog  # noqa: PLC0415

    def load_setup() -> Setup:
        configuration = load_configuration(config)
        nameservers_of(configuration.dns)  # in time to complain
        return Setup(configuration, load_signer(configuration.dkim))

    try:
        sys.exit(Supervisor(load_setup, MessageLog(sys.stderr)).run())
    except ConfigError as error:
        show(error)
        sys.exit(os.EX_CONFIG)
    except ResolverError as error:
        click.echo(f"alignd: cannot serve: {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)
    except ListenError as error:
        click.echo(f"alignd: cannot serve on {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)
