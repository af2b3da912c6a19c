"""`alignd return`: run the service for the mail that comes back."""

from __future__ import annotations

from pathlib import Path

import click

from alignd.cli.commands.serve import run_service
from alignd.cli.options import CONFIG


@click.command("return")
@CONFIG
def return_(config: Path) -> None:
    """Run the service for what comes back to return addresses, until TERM or INT.

    It tells Postfix at return.socket whose a return address is, and is the milter at
    return.milter for the mail to these addresses; `alignd postfix-snippet --layout return` prints
    the lines for both. It shares the configuration with `alignd serve`, and nothing else. Exit
    status 78 if the configuration is wrong, or has no return.keys; 69 if a socket or the
    nameservers cannot be used. Keys that cannot be read do not end it: mail to their addresses
    waits at its sender, and they are read as soon as they can be.

    \b
    Example:
      alignd return --config /etc/alignd/alignd.conf
    """
    run_service(config, is_return_leg=True)
