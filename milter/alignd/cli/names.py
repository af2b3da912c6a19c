"""Reads the author domains and addresses that a command is about."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from alignd.cli.options import InputError
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox, MailboxError, envelope_address

AGENT = "agent"
"""The local part of the author if only a domain is named."""
_MAX_SHOWN = 80  # characters of an entry

LISTED = click.option(
    "--file",
    "listed",
    type=click.Path(path_type=Path),
    help="More names, one on each line, '#' begins a comment; '-' is standard input.",
)


def read_authors(names: Iterable[str], listed: Path | None) -> tuple[list[Mailbox], list[str]]:
    """Read *names*, and those of the file *listed*: the authors, each once, and what is wrong.

    Raises:
        InputError: the file cannot be read.
    """
    return _authors([*map(_Entry, names), *(_read_names(listed) if listed else ())])


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name that was asked for."""

    text: str
    place: str = ""
    """The file and the line that have it; empty for the command line."""

    def problem(self, error: ValueError) -> str:
        """What is wrong with it; in a file, which entry it is."""
        if not self.place:
            return str(error)
        shown = repr(self.text[:_MAX_SHOWN])
        return (
            f"{self.place}: {error}" if shown in str(error) else f"{self.place}: {shown}: {error}"
        )


def _read_names(path: Path) -> Iterable[_Entry]:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        lines = data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a list of names: not UTF-8 text") from error
    texts = (line.partition("#")[0].strip() for line in lines)
    return [_Entry(text, f"{path}:{number}") for number, text in enumerate(texts, 1) if text]


def _authors(entries: Iterable[_Entry]) -> tuple[list[Mailbox], list[str]]:
    """Parse *entries* into authors, each once, and the problems of those that are wrong."""
    authors: dict[Mailbox, None] = {}
    problems = []
    for entry in entries:
        try:
            authors[_author(entry.text)] = None
        except (DomainError, MailboxError) as error:
            problems.append(entry.problem(error))
    return list(authors), problems


def _author(text: str) -> Mailbox:
    address = envelope_address(text)
    mailbox = (
        Mailbox.from_address(address) if "@" in address else Mailbox(AGENT, Domain.parse(address))
    )
    if len(mailbox.domain.labels) == 1 or mailbox.domain.labels[-1].isdigit():
        raise DomainError(f"not a domain that mail comes from: {text[:_MAX_SHOWN]!r}")
    if not mailbox.local_part.isascii():
        raise MailboxError(f"must be ASCII before the '@': {text[:_MAX_SHOWN]!r}")
    return mailbox
