"""Reads OpenDKIM's SigningTable and KeyTable the way OpenDKIM does, see opendkim.conf(5).

What the manual does not say was measured with OpenDKIM 2.11. `tests/relay/test_opendkim.py` holds
all of it against the real one, with tables that are drawn at random.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from alignd.mail.mailbox import Mailbox
from alignd.mail.printable import printable

_BLANKS = b" \t\n\v\f\r"
_CHUNK = 1023
"""Octets that OpenDKIM reads at once. The rest of a longer line is a line of its own, even behind
a comment."""
_SPECIAL = re.compile(rb"[\\^$()\[\]{}|?]")
"""What is left special in a refile, where only "*", "+" and "." are quoted: its patterns are
extended regular expressions."""
_WILDCARD_IN_PLAIN = re.compile(rb"\*.|[^@]\*")
"""A "*" that stands for nothing in a plain file, where only `*` and `user@*` are looked up."""
_KEY_PARTS = 3
_AS_IS = b"%"


class TableKind(Enum):
    """How OpenDKIM reads the file of a table."""

    FILE = "file"
    """By key, which is what it looks up."""
    REFILE = "refile"
    """By pattern."""


class TableError(ValueError):
    """The name of a table is not one of a file."""


@dataclass(frozen=True, slots=True)
class TableProblem:
    """An entry that does not do what was probably meant, at a line of one of the tables."""

    is_key_table: bool
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """The entry of the KeyTable that signs the mail of one author, its "%" filled in."""

    domain: str
    """d= of the signature."""
    selector: str
    path: str
    """The file with the private key; empty when the key stands in the table."""
    inline: bytes
    """The private key where it stands in the table."""
    identity: str
    """What the SigningTable asks to be i= of the signature; empty when it asks nothing."""


@dataclass(frozen=True, slots=True)
class NoSignature:
    """Why an author whom the tables know, or may know, gets no signature that counts."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Entry:
    line: int
    key: bytes
    value: bytes
    problem: str = ""
    """Why the mail that it matches is not signed, or nobody knows whether it is."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table. Where several entries match, the first counts."""

    kind: TableKind
    entries: tuple[_Entry, ...]
    """In the order of the file; of a refile, up to the first that cannot be predicted."""
    by_key: Mapping[bytes, _Entry]
    patterns: tuple[tuple[re.Pattern[bytes], _Entry], ...]

    def find(self, key: bytes) -> _Entry | None:
        if self.kind is TableKind.FILE:
            return self.by_key.get(key)
        return next((entry for pattern, entry in self.patterns if pattern.fullmatch(key)), None)


@dataclass(frozen=True, slots=True)
class SigningTables:
    """Both tables, which together choose the key for an author."""

    signing: Table
    keys: Table

    def key_for(self, author: Mailbox) -> KeyEntry | NoSignature | None:
        """Find the key that signs mail of *author*; None when the tables do not name him.

        Only the first match counts: OpenDKIM signs with the others only where its option
        MultipleSignatures is on.
        """
        entry = self._entry_for(author)
        if entry is None:
            return None
        if entry.problem:
            return NoSignature(f"line {entry.line} of the SigningTable {entry.problem}")
        domain = author.domain.name.encode()
        name, _, identity = entry.value.partition(b":")
        name = domain if name == _AS_IS else name
        key = self.keys.find(name)
        if key is None:
            return NoSignature(f"{_missing_key(name)}, so the signer defers the message")
        if key.problem:
            return NoSignature(f"line {key.line} of the KeyTable {key.problem}")
        signing_domain, selector, location = key.value.split(b":", _KEY_PARTS - 1)
        signing_domain = domain if signing_domain == _AS_IS else signing_domain
        is_path = location.startswith((b"/", b"./", b"../"))
        if location.startswith(b"/"):
            location = location.replace(b"%", signing_domain)
        return KeyEntry(
            signing_domain.decode(errors="replace"),
            selector.decode(errors="replace"),
            location.decode(errors="surrogateescape") if is_path else "",
            b"" if is_path else location,
            identity.replace(b"%", domain).decode(errors="replace"),
        )

    def _entry_for(self, author: Mailbox) -> _Entry | None:
        if self.signing.kind is TableKind.REFILE:
            return self.signing.find(author.address.encode())
        found = map(self.signing.find, _plain_keys(author))
        return next((entry for entry in found if entry), None)

    def key_files(self) -> Iterator[str]:
        """The files of private keys that the KeyTable names, but for those named by a domain."""
        for entry in self.keys.entries:
            location = b"" if entry.problem else entry.value.split(b":", _KEY_PARTS - 1)[2]
            if location.startswith(b"/") and b"%" not in location:
                yield location.decode(errors="surrogateescape")

    def names_of_keys(self) -> Iterator[tuple[str, str]]:
        """The d= and s= of the keys in the KeyTable, in lower case; d= is empty for any domain."""
        for entry in self.keys.entries:
            if not entry.problem:
                domain, selector, _ = entry.value.lower().split(b":", _KEY_PARTS - 1)
                name = b"" if domain == _AS_IS else domain
                yield name.decode(errors="replace"), selector.decode(errors="replace")

    def problems(self) -> Iterator[TableProblem]:
        """Find the entries that do not do what was probably meant."""
        for is_key_table, table in ((False, self.signing), (True, self.keys)):
            first: dict[bytes, int] = {}
            for entry in table.entries:
                text, key = entry.problem, entry.key if is_key_table else entry.key.lower()
                if key in first:
                    text = f"is not used: line {first[key]} has {_shown(key)} too"
                elif not text and not is_key_table:
                    text = self._signing_problem(entry)
                if text:
                    yield TableProblem(is_key_table, entry.line, text)
                first.setdefault(key, entry.line)

    def _signing_problem(self, entry: _Entry) -> str:
        name, _, identity = entry.value.partition(b":")
        if self.signing.kind is TableKind.FILE and _WILDCARD_IN_PLAIN.search(entry.key):
            return (
                f"matches nobody: {_shown(entry.key)} is a pattern in a refile only; write "
                "'refile:' in front of the path of the table, as opendkim.conf has it"
            )
        if name != _AS_IS and self.keys.find(name) is None:
            return f"is no use: {_missing_key(name)}"
        if identity and b"@" not in identity:
            return f"is no use: OpenDKIM does not sign with an i= without '@': {_shown(identity)}"
        return ""


def split_table_name(name: str) -> tuple[TableKind, str]:
    """Split the name of a table as opendkim.conf(5) has it into its kind and its path.

    Raises:
        TableError: it is a data set of another kind.
    """
    kind, colon, path = name.partition(":")
    if not colon:
        return TableKind.FILE, name  # as OpenDKIM takes a path
    try:
        return TableKind(kind), path
    except ValueError:
        raise TableError(
            f"not a table that alignd can read: {name!r}; write 'refile:/path' or '/path'"
        ) from None


def parse_tables(
    signing_table: bytes,
    key_table: bytes,
    signing_kind: TableKind = TableKind.FILE,
    key_kind: TableKind = TableKind.FILE,
) -> SigningTables:
    """Parse the content of both tables. No content is an error: what is odd signs nothing."""
    read = _PARSERS[signing_kind](signing_table)
    signing = _table(signing_kind, (_named(entry) for entry in read), ignores_case=True)
    read = _PARSERS[key_kind](key_table)
    keys = _table(key_kind, (_with_three_parts(entry) for entry in read), ignores_case=False)
    return SigningTables(signing, keys)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """What OpenDKIM takes for lines, without comments; a number is that of the file's line."""
    for number, line in enumerate(data.split(b"\n"), 1):
        for start in range(0, len(line), _CHUNK):
            chunk = line[start : start + _CHUNK]
            # It reads them as strings of C.
            yield number, chunk.partition(b"\0")[0].partition(b"#")[0]


def _parse_plain(data: bytes) -> Iterator[_Entry]:
    for number, line in _lines(data):
        # Blanks in front do not count here.
        key, _, value = _split(line.strip(_BLANKS))
        if key:
            yield _Entry(number, key, value)


def _parse_patterns(data: bytes) -> Iterator[_Entry]:
    for number, line in _lines(data):
        key, _, value = _split(line)
        if not key:
            continue  # empty, or with a blank in front: OpenDKIM passes it over
        entry = _Entry(number, key, value)
        if not _SPECIAL.search(key):
            yield entry
            continue
        problem = (
            f"cannot be predicted: OpenDKIM reads {_shown(key)} as a regular expression; nothing "
            "from there on counts"
        )
        yield replace(entry, problem=problem)
        return


_PARSERS = {TableKind.FILE: _parse_plain, TableKind.REFILE: _parse_patterns}


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Split at the first blanks: those of ASCII, without 0x1c to 0x1f, which `str` knows."""
    match = re.search(rb"[ \t\n\v\f\r]+", line)
    if match is None:
        return line, b"", b""
    return line[: match.start()], match.group(), line[match.end() :].strip(_BLANKS)


def _named(entry: _Entry) -> _Entry:
    if entry.problem or entry.value:
        return entry
    return replace(entry, problem="names no key: OpenDKIM does not start, or fails with mail")


def _with_three_parts(entry: _Entry) -> _Entry:
    parts = entry.value.split(b":", _KEY_PARTS - 1)
    if entry.problem or (len(parts) == _KEY_PARTS and all(parts)):
        return entry
    problem = (
        f"is not domain:selector:key, so the signer defers the message: {_shown(entry.value)}"
    )
    return replace(entry, problem=problem)


def _table(kind: TableKind, read: Iterator[_Entry], *, ignores_case: bool) -> Table:
    entries = tuple(read)
    if kind is TableKind.FILE:
        keys = [(each.key.lower() if ignores_case else each.key, each) for each in entries]
        return Table(kind, entries, dict(reversed(keys)), ())
    flags = re.DOTALL | (re.IGNORECASE if ignores_case else 0)
    return Table(kind, entries, {}, tuple((_pattern(each, flags), each) for each in entries))


def _pattern(entry: _Entry, flags: int) -> re.Pattern[bytes]:
    if _SPECIAL.search(entry.key):
        return re.compile(b".*", flags)  # whom it matches is not known: perhaps anybody
    # "*" matches anything, "@" too.
    return re.compile(b".*".join(map(re.escape, re.split(rb"\*+", entry.key))), flags)


def _plain_keys(author: Mailbox) -> Iterator[bytes]:
    # The keys under which OpenDKIM looks up an author in a plain file, in its order. It never
    # finds one that is not ASCII.
    user, labels = author.local_part.lower(), author.domain.labels
    above = ["." + ".".join(labels[start:]) for start in range(1, len(labels))]
    keys = [f"{user}@{author.domain}", author.domain.name]
    keys += [key for domain in above for key in (f"{user}@{domain}", domain)]
    keys += [f"{user}@*", "*"]
    yield from (key.encode() for key in keys if key.isascii())


def _missing_key(name: bytes) -> str:
    return f"the SigningTable names the key {_shown(name)}, which the KeyTable does not have"


def _shown(value: bytes) -> str:
    return repr(printable(value[:60].decode(errors="replace")))
