"""`alignd postfix-snippet`: print the lines for Postfix's main.cf and master.cf."""

from __future__ import annotations

from pathlib import Path

import click

from alignd.cli.options import CONFIG, EXIT_INCOMPLETE, SOCKET, load_or_exit, postfix_endpoint
from alignd.postfix.layouts import FILES, SECOND_PORT, Layout, LayoutParameters, lines


@click.command("postfix-snippet")
@click.option(
    "--layout",
    type=click.Choice([layout.value for layout in Layout]),
    default=Layout.INLINE.value,
    show_default=True,
    help="Refuse mail while alignd is down (inline), or queue it first and lose nothing.",
)
@click.option("--file", type=click.Choice(FILES), help="Print the lines for one file only.")
@click.option(
    "--second-port",
    type=click.IntRange(1, 65535),
    default=SECOND_PORT,
    show_default=True,
    help="The port of the second listener of queue-first, on 127.0.0.1.",
)
@SOCKET
@CONFIG
def postfix_snippet(
    layout: str, file: str | None, second_port: int, socket: str | None, config: Path
) -> None:
    """Print the lines for Postfix's main.cf and master.cf. Changes nothing.

    Comments at the top say what the layout promises. For the inline layout, use one of the two
    files: main.cf for all mail, or master.cf for the submission port only. Replace
    unix:opendkim/opendkim.sock with the socket of your DKIM signer, or remove it.
    Exit status 0; 2 if the configuration is wrong.

    \b
    Examples:
      alignd postfix-snippet
      alignd postfix-snippet --layout queue-first --file master.cf
    """
    configuration, _ = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    endpoint, is_handed_over = postfix_endpoint(configuration.milter.socket, socket)
    parameters = LayoutParameters(endpoint, is_handed_over=is_handed_over, second_port=second_port)
    chosen = Layout(layout)
    if file:
        click.echo(lines(chosen, file, parameters), nl=False)
        return
    texts = (f"# {name}:\n{lines(chosen, name, parameters)}" for name in FILES)
    click.echo("\n".join(texts), nl=False)
