"""`alignd postfix-snippet`: print the lines for Postfix's main.cf and master.cf."""

from __future__ import annotations

from pathlib import Path

import click

from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    SOCKET,
    InputError,
    load_or_exit,
    postfix_endpoint,
)
from alignd.config.settings import Configuration
from alignd.postfix.layouts import FILES, SECOND_PORT, Layout, LayoutParameters, lines
from alignd.postfix.return_layouts import (
    DEFAULT_RETURN_ENDPOINT,
    RETURN_FILES,
    return_lines,
    way_back_of,
)

_ALL_FILES = tuple(dict.fromkeys((*FILES, *RETURN_FILES[Layout.RETURN])))


@click.command("postfix-snippet")
@click.option(
    "--layout",
    type=click.Choice([layout.value for layout in Layout]),
    default=Layout.INLINE.value,
    show_default=True,
    help="Refuse mail while alignd is down (inline), or queue it first and lose nothing. "
    "What comes back: in a Postfix instance of its own (return), or in the one that sends.",
)
@click.option(
    "--file",
    metavar="FILE",
    type=click.Choice(_ALL_FILES),
    help="Print the lines for one file only, such as main.cf.",
)
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
    The layouts return and return-inside are for what comes back to return addresses, beside one
    of the others. They come with tables and with the files of a signer of their own.
    Exit status 0; 2 if the configuration is wrong.

    \b
    Examples:
      alignd postfix-snippet
      alignd postfix-snippet --layout queue-first --file master.cf
      alignd postfix-snippet --layout return --file return-domains
    """
    configuration, _ = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    texts = _texts(Layout(layout), configuration, socket, second_port)
    if file is None:
        click.echo("\n".join(f"# {name}:\n{text}" for name, text in texts.items()), nl=False)
        return
    if file not in texts:
        raise InputError(f"--file: {layout} has no {file}; it has {', '.join(texts)}")
    click.echo(texts[file], nl=False)


def _texts(
    layout: Layout, configuration: Configuration, socket: str | None, second_port: int
) -> dict[str, str]:
    """The text of each file of *layout*."""
    if layout not in RETURN_FILES:
        endpoint, is_guess = postfix_endpoint(configuration.milter.socket, socket)
        parameters = LayoutParameters(endpoint, is_handed_over=is_guess, second_port=second_port)
        return {name: lines(layout, name, parameters) for name in FILES}
    own = configuration.return_path.milter
    endpoint, is_guess = postfix_endpoint(own, socket, DEFAULT_RETURN_ENDPOINT)
    parameters = LayoutParameters(endpoint, is_handed_over=is_guess)
    way_back = way_back_of(configuration)
    return {
        name: return_lines(layout, name, way_back, parameters) for name in RETURN_FILES[layout]
    }
