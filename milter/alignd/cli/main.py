"""`alignd`: run a command, and end with an exit status that scripts can rely on."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from alignd.mail.printable import printable

_COMMANDS = {
    "serve": "alignd.cli.commands.serve:serve",
    "return": "alignd.cli.commands.return_:return_",
    "web": "alignd.cli.commands.web:web",
    "explain": "alignd.cli.commands.explain:explain",
    "domain": "alignd.cli.commands.domain:domain",
    "letter": "alignd.cli.commands.letter:letter_",
    "ledger": "alignd.cli.commands.ledger:ledger",
    "digest": "alignd.cli.commands.digest:digest_",
    "whatif": "alignd.cli.commands.whatif:whatif",
    "replay": "alignd.cli.commands.replay:replay",
    "reports": "alignd.cli.commands.reports:reports",
    "feedback": "alignd.cli.commands.feedback:feedback",
    "doctor": "alignd.cli.commands.doctor:doctor",
    "domain-connect": "alignd.cli.commands.domain_connect:domain_connect",
    "address": "alignd.cli.commands.address:address",
    "share": "alignd.cli.commands.share:share",
    "new-key": "alignd.cli.commands.new_key:new_key",
    "reasons": "alignd.cli.commands.reasons:reasons",
    "check-config": "alignd.cli.commands.check_config:check_config",
    "postfix-snippet": "alignd.cli.commands.postfix_snippet:postfix_snippet",
}
"""The module and the function of each command, in the order of --help."""
_NOT_WRITTEN = frozenset({errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC})
"""What write(2) says of an output that takes no more; a command writes nothing else."""


class Program(click.Group):
    """Commands whose exit statuses 1 and 2 are always a result.

    A wrong command line ends with 64 (EX_USAGE), not click's 2, a bug with 70 (EX_SOFTWARE), not
    Python's 1, and output that cannot be written with 74 (EX_IOERR).
    """

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line up to the command."""
        with _exit_statuses():
            return super().make_context(*args, **extra)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and import it."""
        if args[:1] in (["serve"], ["return"]):
            # Else a HUP would end it until it can take one. Its imports are most of that time.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the rest of the command line and run the command."""
        with _exit_statuses():
            return super().invoke(ctx)


class LazyCommands(UserDict[str, Any]):
    """Imports a command when it is looked up, so that a service starts without the others."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = self.data[name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class _MistakeError(click.UsageError):
    """The command line is wrong."""

    exit_code = os.EX_USAGE


class _NoCommandError(click.exceptions.NoArgsIsHelpError):
    """The command line is empty; click shows the help."""

    exit_code = os.EX_USAGE


@contextmanager
def _exit_statuses() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError as error:
        raise _NoCommandError(error.ctx) from error
    except click.UsageError as error:
        # The message quotes the command line, which may hold hostile names of files.
        problem = " ".join(map(printable, error.format_message().splitlines()))
        raise _MistakeError(problem, error.ctx) from error
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:  # the one place that catches bugs of a command
        if isinstance(error, OSError) and error.filename is None and error.errno in _NOT_WRITTEN:
            _give_up_output()
            click.echo(f"Error: standard output: {error.strerror}", err=True)
            sys.exit(os.EX_IOERR)
        for line in traceback.format_exc().splitlines():
            click.echo(printable(line), err=True)
        click.echo("alignd: this is a bug; please report the lines above", err=True)
        sys.exit(os.EX_SOFTWARE)


def _give_up_output() -> None:
    # What is still in its buffer would fail once more when the interpreter ends.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


@click.group(
    cls=Program,
    commands=LazyCommands(_COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="alignd")
def main() -> None:
    """Keep helpdesk mail out of the DMARC trap.

    alignd predicts the result of receivers' DMARC checks for each message that this relay sends. A
    message that will pass is left alone; one that will not is sent from the notifications domain,
    with Reply-To set to the author.

    \b
    Start here:
      alignd check-config --config /etc/alignd/alignd.conf
      alignd explain message.eml --mail-from marky@mycompany.com
      alignd domain mycompany.com
    """
