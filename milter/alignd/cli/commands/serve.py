"""`alignd serve`: run the milter."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from alignd.cli.options import CONFIG, print_problems
from alignd.config.file import ConfigError
from alignd.config.nameservers import ResolverError
from alignd.mail.printable import printable

_STANDARD_ERROR = 2
_HAND_OVER = (
    "`systemctl stop alignd`, then `systemctl enable --now alignd.socket`, then `systemctl start "
    "alignd`: systemd opens no socket for a service that runs"
)


@click.command()
@CONFIG
def serve(config: Path) -> None:
    """Run the milter until TERM or INT.

    Postfix connects to milter.socket; `alignd postfix-snippet` prints the lines for it. The log
    goes to standard error, one line for each message. Exit status 78 if the configuration is
    wrong, or names a socket that systemd has not handed over; 69 if the socket or the nameservers
    cannot be used.

    \b
    Example:
      alignd serve --config /etc/alignd/alignd.conf
    """
    run_service(config)


def run_service(config: Path, *, is_return_leg: bool = False) -> NoReturn:
    """Run the service of `alignd serve`, or that of `alignd return`, and exit."""
    # Imported here: the other commands work where libmilter is not installed.
    from alignd.mta.libmilter import ListenError, NotHandedOverError  # noqa: PLC0415
    from alignd.service.setup import Leg, load_setup  # noqa: PLC0415
    from alignd.service.supervisor import Supervisor  # noqa: PLC0415
    from alignd.telemetry.log import MessageLog  # noqa: PLC0415

    leg = Leg.RETURN if is_return_leg else Leg.OUTBOUND
    open_standard_streams()
    try:
        # Standard error is None where it was closed at the start: lines are dropped, and counted.
        sys.exit(Supervisor(partial(load_setup, config, leg=leg), MessageLog(sys.stderr)).run())
    except ConfigError as error:
        print_problems(error)
        sys.exit(os.EX_CONFIG)
    except ResolverError as error:
        click.echo(f"alignd: cannot serve: {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)
    except NotHandedOverError as error:
        # A restart hands over no more than this start: it would loop.
        click.echo(f"alignd: cannot serve on {error}; {_HAND_OVER}", err=True)
        sys.exit(os.EX_CONFIG)
    except ListenError as error:
        click.echo(f"alignd: cannot serve on {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)


def open_standard_streams() -> None:
    """Open what is closed of the first three descriptors on /dev/null.

    Else the milter's socket would get the number of standard error, and log lines would go there.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        continue
    os.close(lowest)
