"""Predicts which DKIM signatures the signer behind alignd will add.

The configuration names them, or OpenDKIM's own tables, which are read at start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alignd.config.file import ConfigError, ConfigProblem
from alignd.config.opendkim import SigningTables, TableError, parse_tables
from alignd.config.settings import DkimOptions, OpenDkim
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message
from alignd.mailauth.dkim import PlannedSignature
from alignd.mailauth.dkim_key import private_modulus


@dataclass(frozen=True, slots=True)
class TableSigner:
    """The signer that the configuration describes; a `mailauth.dkim.Signer`."""

    signs: tuple[PlannedSignature, ...]
    tables: SigningTables | None
    modulus_of: Callable[[str], int | None]
    """Reads the modulus of the private key in a file; None where the file cannot be read."""

    def signatures_for(
        self, author: Mailbox, message: Message | None = None
    ) -> tuple[PlannedSignature, ...]:
        del message
        named = tuple(planned for planned in self.signs if planned.domain == author.domain)
        return named + self._from_tables(author)

    def _from_tables(self, author: Mailbox) -> tuple[PlannedSignature, ...]:
        key = self.tables.key_for(author) if self.tables else None
        if key is None:
            return ()
        try:
            domain = Domain.parse(key.domain)
            identity = Domain.parse(key.identity.rpartition("@")[2]) if key.identity else None
        except DomainError:
            return ()  # OpenDKIM would sign for a name that no receiver can look up
        if identity is not None and not identity.is_within(domain):
            identity = None  # opendkim.conf(5): an i= that conflicts with d= is left out
        modulus = self.modulus_of(key.path) if key.path else None
        signature = PlannedSignature(
            domain, key.selector, identity_domain=identity, modulus=modulus
        )
        return (signature,)


def load_signer(settings: DkimOptions) -> TableSigner:
    """Read the tables and private keys that *settings* names.

    Raises:
        ConfigError: a table cannot be read.
    """
    keys = _PrivateKeys()
    planned = tuple(
        PlannedSignature(
            signed.domain,
            signed.selector,
            signed.algorithm,
            Domain.parse(signed.identity.rpartition("@")[2]) if signed.identity else None,
            keys.modulus_of(signed.key_file) if signed.key_file else None,
        )
        for signed in settings.signs
    )
    tables = _load_tables(settings.opendkim) if settings.opendkim else None
    return TableSigner(planned, tables, keys.modulus_of)


def _load_tables(settings: OpenDkim) -> SigningTables:
    kind, _, signing_path = settings.signing_table.rpartition(":")
    _, _, key_path = settings.key_table.rpartition(":")
    patterns = {"refile": True, "file": False}.get(kind)
    try:
        return parse_tables(_text(signing_path), _text(key_path), patterns=patterns)
    except TableError as error:
        raise ConfigError((ConfigProblem(key_path, error.line, str(error)),)) from error


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError((ConfigProblem(path, 1, f"cannot be read: {problem}"),)) from error


class _PrivateKeys:
    """The moduli of private keys by file, each file read once.

    `load_signer` reads the keys that the configuration names, so that no message waits for them.
    The keys of OpenDKIM's tables are read with the first message that they sign: the path of one
    may depend on the author domain ("%").
    """

    def __init__(self) -> None:
        self._known: dict[str, int | None] = {}

    def modulus_of(self, path: str) -> int | None:
        """Read the modulus; None where alignd may not read the file, as is usual for a key."""
        if path not in self._known:
            self._known[path] = _modulus(path)
        return self._known[path]


def _modulus(path: str) -> int | None:
    try:
        return private_modulus(Path(path).read_bytes())
    except (OSError, ValueError):
        return None
