"""`alignd check-config`: show every problem of the configuration."""

from __future__ import annotations

import os
from pathlib import Path

import click

from alignd.cli.options import CONFIG, load_or_exit
from alignd.config.signer import table_problems
from alignd.mail.printable import printable


@click.command("check-config")
@CONFIG
def check_config(config: Path) -> None:
    """Show every problem of the configuration as path:line: problem.

    Exit status 0 if there is none, with a summary; else 78. Entries of OpenDKIM's tables that do
    not do what was probably meant are shown too, and change nothing about the status.

    \b
    Example:
      alignd check-config --config conf/alignd.conf
    """
    configuration, signer = load_or_exit(config, exit_status=os.EX_CONFIG)
    for problem in table_problems(signer):
        click.echo(printable(str(problem)), err=True)
    relay = configuration.relay
    click.echo(
        f"{config}: fine. Relay {relay.hostname} with {len(relay.addresses)} addresses, "
        f"notifications from {configuration.notifications.address.address}, "
        f"{len(configuration.tenant)} tenants."
    )
