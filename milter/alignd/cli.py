"""The command line: `alignd` and its commands, each of which is a module of its own."""

from __future__ import annotations

import click

from alignd.program import LazyCommands, Program


@click.group(
    cls=Program,
    commands=LazyCommands(
        {
            "serve": "alignd.command_serve:serve",
            "explain": "alignd.command_explain:explain",
            "domain": "alignd.command_domain:domain",
            "replay": "alignd.command_replay:replay",
            "doctor": "alignd.command_doctor:doctor",
            "reasons": "alignd.command_reasons:reasons",
            "check-config": "alignd.command_check_config:check_config",
            "postfix-snippet": "alignd.command_postfix_snippet:postfix_snippet",
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


if __name__ == "__main__":
    main(prog_name="alignd")
