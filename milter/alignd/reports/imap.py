"""Reads the reports in a folder of a mailbox over IMAP, of which nothing is changed unless told.

Wraps IMAPClient. The folder is opened to be read only (EXAMINE) and messages are fetched with
BODY.PEEK, so that none is marked as read; moving one, when asked, needs a folder to move it to.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alignd.config.imap_folder import ImapFolder
from alignd.reports.intake import (
    MAX_FOUND,
    MAX_MESSAGE,
    Found,
    ParcelProblem,
    find_in_file,
)
from alignd.reports.problem import ProblemKind, ReportProblem

TIMEOUT = 60.0
"""Seconds for the server to answer."""
CURE = "reading a mailbox over IMAP needs IMAPClient: pip install 'alignd[reports]'"


class ImapError(Exception):
    """The mailbox cannot be reached, opened or read; the message says why."""


class ImapMailbox:
    """An open folder. Its messages are named by their UID."""

    def __init__(self, client: Any, place: ImapFolder) -> None:
        self._client = client
        self._place = place

    def count(self) -> int:
        """How many messages there are.

        Raises:
            ImapError: the connection broke.
        """
        return len(self._numbers())

    def messages(self) -> Iterator[tuple[int, tuple[Found, ...]]]:
        """The UID of each message, oldest first, and the parcels in it.

        Raises:
            ImapError: the connection broke.
        """
        for number in self._numbers():
            yield number, tuple(self._parcels(number))

    def move(self, number: int, folder: str) -> None:
        """Move a message to *folder*; only in a mailbox that was opened to be changed.

        Raises:
            ImapError: the server refused, or cannot move messages (RFC 6851).
        """
        with _failures():
            self._client.move([number], folder)

    def _numbers(self) -> list[int]:
        with _failures():
            return sorted(self._client.search(["UNDELETED"]))[:MAX_FOUND]

    def _parcels(self, number: int) -> Iterator[Found]:
        name = f"{self._place}#{number}"
        size = self._fetch(number, "RFC822.SIZE", b"RFC822.SIZE")
        if size is not None and size > MAX_MESSAGE:
            text = f"it has more than {MAX_MESSAGE} octets"
            yield ParcelProblem(name, ReportProblem(ProblemKind.TOO_LARGE, text))
            return
        data = None if size is None else self._fetch(number, "BODY.PEEK[]", b"BODY[]")
        if data is None:
            text = "it is no longer there"
            yield ParcelProblem(name, ReportProblem(ProblemKind.UNREADABLE, text))
        else:
            yield from find_in_file(name, io.BytesIO(data))

    def _fetch(self, number: int, item: str, key: bytes) -> Any:
        with _failures():
            return self._client.fetch([number], [item]).get(number, {}).get(key)


@contextmanager
def open_mailbox(
    place: ImapFolder,
    password: str,
    *,
    may_change: bool = False,
    context: ssl.SSLContext | None = None,
) -> Iterator[ImapMailbox]:
    """Log in and open the folder, to be read only unless it *may_change*.

    Raises:
        ImapError: that failed; the password is not in the message.
    """
    try:
        from imapclient import IMAPClient  # noqa: PLC0415  # an extra, which most do without
    except ImportError as error:
        raise ImapError(CURE) from error
    context = (context or ssl.create_default_context()) if place.is_encrypted else None
    with _failures():
        client = IMAPClient(
            place.host,
            port=place.port,
            ssl=place.is_encrypted,
            ssl_context=context,
            timeout=TIMEOUT,
        )
    try:
        with _failures():
            client.login(place.user, password)
            client.select_folder(place.folder, readonly=not may_change)
        yield ImapMailbox(client, place)
    finally:
        _leave(client)


def _leave(client: Any) -> None:
    try:
        with _failures():
            client.logout()
    except ImapError:
        return  # what was wanted is done, and what failed is said


@contextmanager
def _failures() -> Iterator[None]:
    """Raise ImapError for what IMAPClient, the network or TLS raise."""
    from imapclient.exceptions import IMAPClientError  # noqa: PLC0415

    try:
        yield
    except (IMAPClientError, OSError, ValueError) as error:
        raise ImapError(_text_of(error)[:200]) from error


def _text_of(error: Exception) -> str:
    """What the server said, which imaplib has as octets, or as their repr."""
    text = str(error) or type(error).__name__
    return text[2:-1] if text.startswith(("b'", 'b"')) else text
