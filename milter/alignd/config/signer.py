"""Predicts which DKIM signatures the signer behind alignd will add.

The configuration names them, or OpenDKIM's own tables, which are read at start and at HUP.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from alignd.config.file import ConfigError, ConfigProblem
from alignd.config.opendkim import (
    KeyEntry,
    NoSignature,
    SigningTables,
    parse_tables,
    split_table_name,
)
from alignd.config.settings import DkimOptions, OpenDkim, SignedDomain
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message
from alignd.mail.printable import printable
from alignd.mailauth.dkim import PlannedSignature
from alignd.mailauth.dkim_key import SAFE_ALGORITHM, private_modulus

_LOOPBACK = IPv4Address("127.0.0.1")
"""The client that a signer sees where there is none, as with sendmail(1) (measured)."""
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""A d=, s= or domain of i= that every receiver takes for what it is: a name without a dot behind,
in ASCII."""
_IDENTITY = re.compile(rf"(?=.{{1,254}}\Z)[A-Za-z0-9._+-]*@{_NAME.pattern}")
"""An i= that every receiver reads alike: without what DKIM-Quoted-Printable has to quote, which
OpenDKIM does not quote (measured), and not so long that it is cut."""


class TableReadError(ConfigError):
    """A table of OpenDKIM cannot be read."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The files of private keys that a configuration names."""

    count: int
    forbidden: int
    """How many alignd may not read, as is usual for a key."""
    missing: tuple[str, ...]
    """The others that it cannot read, each with the reason: nothing can be signed with them."""


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """What is known of a private key."""

    modulus: int | None = None
    """None where alignd may not read the file, as is usual for a key."""
    problem: str = ""
    """Why nothing can be signed with it."""


@dataclass(frozen=True, slots=True)
class TableSigner:
    """The signer that the configuration describes; a `mailauth.dkim.Signer`."""

    options: DkimOptions
    tables: SigningTables | None
    keys: PrivateKeys

    def signatures_for(
        self, author: Mailbox, message: Message | None = None
    ) -> tuple[PlannedSignature, ...]:
        planned = tuple(self._named(author)) + self._from_tables(author)
        if not planned or message is None:
            return planned
        ignored = self._ignores(message) or _reads_otherwise(author, message)
        if not ignored:
            return planned
        return tuple(replace(each, obstacle=each.obstacle or ignored) for each in planned)

    def look_at_key_files(self) -> KeyFiles:
        """See whether the key files can be read; what is in them is read when it is needed."""
        # A relative one begins in a directory that only the signer knows.
        paths = {each.key_file for each in self.options.signs if each.key_file.startswith("/")}
        paths.update(self.tables.key_files() if self.tables else ())
        forbidden, missing = 0, []
        for path in sorted(paths):
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            except PermissionError:
                forbidden += 1
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "not a path"
                missing.append(f"{printable(path)}: {why}")
        return KeyFiles(len(paths), forbidden, tuple(missing))

    def _named(self, author: Mailbox) -> list[PlannedSignature]:
        return [
            _planned(
                signed.domain,
                signed.selector,
                _domain_of(signed.identity),
                self.keys.key_in(signed.key_file) if signed.key_file else PrivateKey(),
                signed.algorithm,
            )
            for signed in self.options.signs
            if _signs_for(signed, author)
        ]

    def _from_tables(self, author: Mailbox) -> tuple[PlannedSignature, ...]:
        entry = self.tables.key_for(author) if self.tables else None
        if entry is None:
            return ()
        if isinstance(entry, NoSignature):
            return (PlannedSignature(author.domain, "", obstacle=entry.reason),)
        if problem := _entry_problem(entry):
            return (PlannedSignature(author.domain, entry.selector, obstacle=problem),)
        domain = Domain.parse(entry.domain)
        identity = _domain_of(entry.identity)
        if identity is not None and not identity.is_within(domain):
            identity = None  # opendkim.conf(5): an i= that conflicts with d= is left out
        keys = self.keys
        key = keys.key_in(entry.path) if entry.path else keys.key_of(entry.inline)
        return (_planned(domain, entry.selector, identity, key),)

    def _ignores(self, message: Message) -> str:
        client = message.client or _LOOPBACK
        networks = self.options.internal_hosts
        if message.login or any(client in network for network in networks):
            return ""
        return f"the signer does not sign for the client {client} (dkim.internal_hosts)"


def _planned(
    domain: Domain,
    selector: str,
    identity: Domain | None,
    key: PrivateKey,
    algorithm: str = SAFE_ALGORITHM,
) -> PlannedSignature:
    return PlannedSignature(
        domain, selector, algorithm, identity, key.modulus, obstacle=key.problem
    )


def _reads_otherwise(author: Mailbox, message: Message) -> str:
    """Why the signer does not see *author* in *message*: it does not know U-labels (measured)."""
    value = b"".join(field.value for field in message.fields("From")[:1]).lower()
    local_part = author.local_part.lower().encode()
    seen = b"%s@%s" % (local_part, author.domain.name.encode())
    if value.isascii() or seen in value or local_part + b"@" not in value:
        return ""
    return f"the signer takes the domain in From as it is written, not as {author.domain}"


def load_signer(settings: DkimOptions) -> TableSigner:
    """Read the tables that *settings* names.

    Raises:
        TableReadError: a table cannot be read.
    """
    tables = _load_tables(settings.opendkim) if settings.opendkim else None
    return TableSigner(settings, tables, PrivateKeys())


def table_problems(signer: TableSigner) -> tuple[ConfigProblem, ...]:
    """The entries of OpenDKIM's tables that do not do what was probably meant."""
    settings = signer.options.opendkim
    if settings is None or signer.tables is None:
        return ()
    _, signing_path = split_table_name(settings.signing_table)
    _, key_path = split_table_name(settings.key_table)
    return tuple(
        ConfigProblem(
            key_path if each.is_key_table else signing_path, each.line, f"the entry {each.text}"
        )
        for each in signer.tables.problems()
    )


class PrivateKeys:
    """Private keys by file, each read again when its file has changed.

    OpenDKIM reads the file of a key for every message; here a look at the file's status does,
    since one is asked about for every message that is not judged from memory.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], PrivateKey]] = {}
        self._inline: dict[bytes, PrivateKey] = {}

    def key_in(self, path: str) -> PrivateKey:
        """Read the key in the file at *path*."""
        if not path.startswith("/"):
            return PrivateKey()  # relative to a directory that only OpenDKIM knows
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return PrivateKey(problem=f"there is no key file {printable(path)}")
        except OSError:
            return PrivateKey()  # in a directory that alignd may not enter
        version = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
        known = self._known.get(path)
        if known is None or known[0] != version:
            known = (version, _read_key(path))
            self._known[path] = known
        return known[1]

    def key_of(self, content: bytes) -> PrivateKey:
        """Read the key that stands in the KeyTable itself."""
        if content not in self._inline:
            self._inline[content] = _parse_key(content, "the KeyTable")
        return self._inline[content]


def _read_key(path: str) -> PrivateKey:
    try:
        content = Path(path).read_bytes()
    except PermissionError:
        return PrivateKey()
    except OSError as error:
        problem = f"the key file {printable(path)} cannot be read: {error.strerror}"
        return PrivateKey(problem=problem)
    return _parse_key(content, printable(path))


def _parse_key(content: bytes, place: str) -> PrivateKey:
    try:
        return PrivateKey(private_modulus(content))
    except ValueError as error:
        return PrivateKey(problem=f"no private RSA key in {place}: {error}")


def _load_tables(settings: OpenDkim) -> SigningTables:
    signing_kind, signing_path = split_table_name(settings.signing_table)
    key_kind, key_path = split_table_name(settings.key_table)
    return parse_tables(_content(signing_path), _content(key_path), signing_kind, key_kind)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise TableReadError((ConfigProblem(path, 1, problem),)) from error


def _signs_for(signed: SignedDomain, author: Mailbox) -> bool:
    if signed.subdomains:
        return author.domain.is_within(signed.domain)
    return author.domain == signed.domain


def _domain_of(identity: str) -> Domain | None:
    return Domain.parse(identity.rpartition("@")[2]) if identity else None


def _entry_problem(entry: KeyEntry) -> str:
    """Why the signature of *entry* is not made, or is not read alike by all receivers."""
    if entry.identity and "@" not in entry.identity:
        return f"OpenDKIM does not sign with an i= without '@': {entry.identity!r}"
    i_domain = entry.identity.rpartition("@")[2]
    if entry.identity and not (_IDENTITY.fullmatch(entry.identity) and _is_domain(i_domain)):
        return f"receivers may not take the i= of the SigningTable: {entry.identity!r}"
    if not (_NAME.fullmatch(entry.domain) and _is_domain(entry.domain)):
        return f"receivers may not take the d= of the KeyTable: {entry.domain!r}"
    if not _NAME.fullmatch(entry.selector):
        return f"receivers may not take the s= of the KeyTable: {entry.selector!r}"
    return ""


def _is_domain(text: str) -> bool:
    try:
        Domain.parse(text)
    except DomainError:
        return False
    return True
