"""The command line: `alignd` and its commands, each of which is a module of its own."""

from __future__ import annotations

import click

from alignd.cli.program import LazyCommands, Program


@click.group(
    cls=Program,
    commands=LazyCommands(
        {
            "serve": "alignd.cli.commands.serve:serve",
            "explain": "alignd.cli.commands.explain:explain",
            "domain": "alignd.cli.commands.domain:domain",
            "replay": "alignd.cli.commands.replay:replay",
            "doctor": "alignd.cli.commands.doctor:doctor",
            "reasons": "alignd.cli.commands.reasons:reasons",
            "check-config": "alignd.cli.commands.check_config:check_config",
            "postfix-snippet": "alignd.cli.commands.postfix_snippet:postfix_snippet",
        }
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
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
      alignd domain mycompany.com
    """
