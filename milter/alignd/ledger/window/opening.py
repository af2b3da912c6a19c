"""Finds how a ledger is read by those who do not own it."""

from __future__ import annotations

from alignd.config.endpoint import UnixSocket
from alignd.config.settings import LedgerOptions
from alignd.ledger.window.client import SocketAsks
from alignd.ledger.window.database import DatabaseAsks
from alignd.ledger.window.reader import LedgerReader


def reader_of(options: LedgerOptions) -> LedgerReader | None:
    """Who reads the ledger of these options; None if there is none, or it has no window.

    Connects to nothing: each question does.
    """
    if isinstance(options.window, UnixSocket):
        return LedgerReader(SocketAsks(options.window.path))
    url = options.window or (options.url if options.is_shared else "")
    return LedgerReader(DatabaseAsks(url)) if url else None
