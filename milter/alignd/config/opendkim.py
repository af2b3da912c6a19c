"""Parses OpenDKIM's SigningTable and KeyTable the way OpenDKIM does, see opendkim.conf(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from alignd.mail.mailbox import Mailbox

_LINE = re.compile(r"^(?P<key>\S+)\s+(?P<value>\S.*?)\s*$")


class TableError(ValueError):
    """A table cannot be parsed; *line* is counted from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """The entry of the KeyTable that signs the mail of one author, its "%" filled in."""

    domain: str
    """d= of the signature."""
    selector: str
    path: str
    """The file with the private key; empty when the key stands in the table."""
    identity: str
    """i= of the signature; empty when it has none."""


@dataclass(frozen=True, slots=True)
class SigningTables:
    """Both tables, which together choose the key for an author."""

    patterns: tuple[tuple[re.Pattern[str], str], ...]
    """The SigningTable as a refile: pattern and value, in the order of the file."""
    entries: dict[str, str]
    """The SigningTable as a plain file: value by key; empty for a refile."""
    keys: dict[str, str]
    """The KeyTable: value by name."""

    def key_for(self, author: Mailbox) -> KeyEntry | None:
        """Find the key that signs mail of *author*; None when OpenDKIM will not sign it.

        Only the first match counts: OpenDKIM signs with the others only where its option
        MultipleSignatures is on.
        """
        value = self._first_match(author)
        if value is None:
            return None
        domain = author.domain.name
        name, _, identity = value.partition(":")
        entry = self.keys.get(domain if name == "%" else name)
        if entry is None:
            return None
        signing_domain, selector, location = entry.split(":", 2)
        return KeyEntry(
            domain if signing_domain == "%" else signing_domain,
            selector,
            location.replace("%", domain) if location.startswith(("/", "./", "../")) else "",
            identity.strip().replace("%", domain),
        )

    def _first_match(self, author: Mailbox) -> str | None:
        address = author.address.lower()
        for pattern, value in self.patterns:
            if pattern.fullmatch(address):
                return value
        return next(
            (self.entries[key] for key in _plain_keys(author) if key in self.entries), None
        )


def parse_tables(signing_table: str, key_table: str, *, patterns: bool | None) -> SigningTables:
    """Parse the texts of both tables.

    *patterns* says whether the SigningTable is a refile. It is None where its file is named
    without "refile:" or "file:". Then it counts as a refile if it has an entry such as
    `*@mycompany.com`, which would match nothing in a plain file.

    Raises:
        TableError: the KeyTable has an entry without domain, selector and key. (An odd entry of
            the SigningTable is no error to OpenDKIM: it matches nothing, so nothing is signed.)
    """
    signing = [(key.lower(), " ".join(value.split())) for _, key, value in _entries(signing_table)]
    if patterns is None:
        patterns = any(key.startswith("*@") for key, _ in signing)
    keys = {}
    for line, name, value in _entries(key_table):
        if value.count(":") < 2:  # noqa: PLR2004
            raise TableError(line, f"not domain:selector:key: {value[:60]!r}")
        keys[name] = value
    if not patterns:
        return SigningTables((), dict(reversed(signing)), keys)
    return SigningTables(tuple((_wildcard(key), value) for key, value in signing), {}, keys)


def _entries(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line.partition("#")[0])
        if match:
            yield number, match["key"], match["value"]


def _wildcard(key: str) -> re.Pattern[str]:
    # "*" is the only wildcard, and matches anything, "@" too.
    return re.compile(".*".join(map(re.escape, key.split("*"))), re.IGNORECASE)


def _plain_keys(author: Mailbox) -> Iterator[str]:
    # The keys under which OpenDKIM looks up an author in a plain file, in its order.
    user, labels = author.local_part.lower(), author.domain.labels
    yield f"{user}@{author.domain}"
    yield author.domain.name
    above = ["." + ".".join(labels[start:]) for start in range(1, len(labels))]
    yield from (f"{user}@{domain}" for domain in above)
    yield from above
    yield f"{user}@*"
    yield "*"
