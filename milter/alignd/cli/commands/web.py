"""`alignd web`: run the page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from alignd.cli.commands.serve import open_standard_streams
from alignd.cli.options import CONFIG, print_problems
from alignd.config.file import ConfigError
from alignd.config.nameservers import ResolverError
from alignd.mail.printable import printable


@click.command()
@CONFIG
def web(config: Path) -> None:
    """Run the page that shows the ledger, until TERM or INT.

    Supporters see at web.listen what happens to the mail of each author domain, and what its
    owner can publish; who has a link of `alignd share` sees that of one domain, at
    web.share_listen. It reads the ledger at ledger.window, or at its PostgreSQL, and changes
    nothing. The configuration is read at a start only. Exit status 78 if it is wrong, or there is
    no ledger to read; 69 if it cannot listen.

    \b
    Example:
      alignd web --config /etc/alignd/alignd.conf
    """
    # Imported here: the libraries of the page take half a second to load.
    from alignd.service.page import PageService, load_page  # noqa: PLC0415
    from alignd.telemetry.log import MessageLog  # noqa: PLC0415
    from alignd.web.app.server import ListenError  # noqa: PLC0415

    open_standard_streams()
    try:
        setup = load_page(config, os.environ)
        service = PageService(setup, MessageLog(sys.stderr), os.environ)
    except ConfigError as error:
        print_problems(error)
        sys.exit(os.EX_CONFIG)
    except ResolverError as error:
        click.echo(f"alignd: cannot serve: {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)
    except ListenError as error:
        click.echo(f"alignd: cannot serve on {printable(str(error))}", err=True)
        sys.exit(os.EX_UNAVAILABLE)
    sys.exit(service.run())
