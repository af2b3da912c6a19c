"""The command line: `alignd` and its commands, each of which is a module of its own."""

from __future__ import annotations

import click

from alignd.command_check_config import check_config
from alignd.command_doctor import doctor
from alignd.command_domain import domain
from alignd.command_explain import explain
from alignd.command_postfix_snippet import postfix_snippet
from alignd.command_reasons import reasons
from alignd.command_replay import replay
from alignd.command_serve import serve
from alignd.program import Program


@click.group(
    cls=Program,
    commands=[serve, explain, domain, replay, doctor, reasons, check_config, postfix_snippet],
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
