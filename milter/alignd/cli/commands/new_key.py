"""`alignd new-key`: make a key for return addresses, or for links of `alignd share`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    InputError,
    load_or_exit,
    print_problems,
)
from alignd.cli.text import Line, fold, verbatim
from alignd.return_path.key_file import KeyFileError, read_key_file
from alignd.return_path.keyring import ALPHABET, MIN_OCTETS, KeyState, id_of, ids_in

_USUAL_PATH = "/etc/alignd/return.keys"
_USUAL_SHARE_PATH = "/etc/alignd/share.keys"
_BEGIN = """\
Nothing is signed yet: this is the first key. Put the line that is on standard output into a file \
that root and the two services alone can read, for example by"""
_AND_THEN = (
    "Copy the file to every relay, and to every machine that takes what comes back.",
    "There, have `alignd return` and the lines for Postfix in place, which "
    "`alignd postfix-snippet --layout return` prints.",
    'Only then set keys = "{path}" in [return] for the relays, see `alignd check-config`, and '
    "reload. `alignd doctor` checks the way back.",
)
_ROTATE = """\
The line on standard output is a new key, with the id {id}, for {path}. All machines that share \
the file go through the same steps, none of them before all have done the one above:"""
_STEPS = (
    "accept: add the line, and reload `alignd serve` and `alignd return`. Nothing is signed by "
    "the key yet, but what will be is good everywhere.",
    "sign: give the new key the state sign and the old one accept, in one change, and reload. "
    "Addresses of the old key stay good.",
    "retired: give the old key this state last, and keep its line. All addresses that it signed "
    "end then, also those in address books. Without the line, mail to them would wait at its "
    "senders for days.",
)
_BEGIN_SHARE = """\
No link is signed yet: this is the first key. Set share_keys = "{path}" in [web], and put the \
line that is on standard output into that file, which root and the user of `alignd web` alone can \
read:"""
_ROTATE_SHARE = """\
The line on standard output is a new key, with the id {id}, for {path}. Give it the state sign \
and the old one accept, in one change; links of the old key stay good until they end. The state \
retired revokes all links that a key has signed."""
_NOT_BY_CALENDAR = """\
Do not rotate by the calendar, but when a key has leaked: with a new key that signs, the From of \
every agent changes, for address books, safe senders and filters that have learned the old one."""


@click.command("new-key")
@click.option(
    "--state",
    type=click.Choice([KeyState.ACCEPT.value, KeyState.SIGN.value]),
    help="The state of the key. The default is accept, and sign for the first key.",
)
@click.option(
    "--share", "is_share", is_flag=True, help="Make one for the links of `alignd share` instead."
)
@CONFIG
def new_key(state: str | None, is_share: bool, config: Path) -> None:
    """Make a key for return addresses, and explain what to do with it.

    Prints one line for the key file of [return] on standard output, and all else on standard
    error; with --share, for that of [web]. Its id is that of no key that is there already. Changes
    no file. Exit status 2 if a key file cannot be read.

    \b
    Examples:
      alignd new-key >> /etc/alignd/return.keys
      alignd new-key --state sign
      alignd new-key --share >> /etc/alignd/share.keys
    """
    configuration, _ = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    returns = (each.return_path.keys for each in configuration.all_settings)
    paths = dict.fromkeys([configuration.web.share_keys] if is_share else returns)
    texts = [_read_or_exit(path) for path in paths if path]
    taken = frozenset[str]().union(*map(ids_in, texts))
    secret = _make_secret(taken)
    path = next(filter(None, paths), _USUAL_SHARE_PATH if is_share else _USUAL_PATH)
    begin, rotate = (_begin_share, _rotate_share) if is_share else (_beginning, _rotation)
    lines = rotate(id_of(secret), path) if taken else begin(path)
    for line in lines:
        click.echo(line.text, err=True)
    default = KeyState.ACCEPT if taken else KeyState.SIGN
    click.echo(f"{state or default.value} {secret.hex()}")


def _read_or_exit(path: str) -> str:
    try:
        return read_key_file(path)
    except KeyFileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return ""
        print_problems(error)
        sys.exit(EXIT_INCOMPLETE)


def _make_secret(taken: frozenset[str]) -> bytes:
    if len(taken) == len(ALPHABET):
        raise InputError("there is a key with each id; the line of a retired one has to go first")
    while id_of(secret := secrets.token_bytes(MIN_OCTETS)) in taken:
        pass
    return secret


def _beginning(path: str) -> Iterator[Line]:
    yield from fold(_BEGIN)
    yield verbatim(f"(umask 027 && alignd new-key > {path}) && chgrp alignd-keys {path}", "    ")
    for number, step in enumerate(_AND_THEN, 1):
        yield from fold(step.format(path=path), f" {number}. ", "    ")


def _rotation(key_id: str, path: str) -> Iterator[Line]:
    yield from fold(_ROTATE.format(id=key_id, path=path))
    for number, step in enumerate(_STEPS, 1):
        yield from fold(step, f" {number}. ", "    ")
    yield from fold(_NOT_BY_CALENDAR)


def _begin_share(path: str) -> Iterator[Line]:
    yield from fold(_BEGIN_SHARE.format(path=path))
    made = f"(umask 027 && alignd new-key --share > {path}) && chgrp alignd-web {path}"
    yield verbatim(made, "    ")


def _rotate_share(key_id: str, path: str) -> Iterator[Line]:
    yield from fold(_ROTATE_SHARE.format(id=key_id, path=path))
