"""Reads the URL of a folder in a mailbox over IMAP."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class ImapFolder:
    """A folder in a mailbox on a server."""

    host: str
    port: int
    user: str
    folder: str
    is_encrypted: bool

    @classmethod
    def parse(cls, url: str) -> ImapFolder:
        """Read `imaps://user@host[:port][/folder]`; `imap://`, in the clear, is for loopback.

        Raises:
            ValueError: it is no such URL; the message names the reason.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"imaps", "imap"}:
            raise ValueError("expected imaps://user@host/folder")
        if not parts.hostname or not parts.username:
            raise ValueError("a user or a host is missing: imaps://user@host/folder")
        if parts.password is not None:
            raise ValueError("a password does not belong here, but into a file of its own")
        if parts.query or parts.fragment:
            raise ValueError("nothing may follow the folder")
        is_encrypted = parts.scheme == "imaps"
        if not is_encrypted and not _is_loopback(parts.hostname):
            raise ValueError("imap:// sends the password in the clear: imaps:// does not")
        return cls(
            parts.hostname,
            parts.port or (993 if is_encrypted else 143),
            unquote(parts.username),
            unquote(parts.path.removeprefix("/")) or "INBOX",
            is_encrypted,
        )

    def __str__(self) -> str:
        return f"{self.user}@{self.host}/{self.folder}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
