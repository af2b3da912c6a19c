"""Opens a ledger for those who tell it what receivers said, and are not its service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from alignd.config.settings import LedgerOptions
from alignd.ledger.database import PATIENCE, LedgerError, open_existing, shown
from alignd.ledger.event import Event
from alignd.ledger.migration import SchemaError, require_schema
from alignd.ledger.place import place_of
from alignd.ledger.receivers.rows import KnownReport, ReplyKey, ReportKey
from alignd.ledger.receivers.write import add_replies, add_report, known_reports

STATE_DIRECTORY = "/var/lib/alignd"
"""What systemd makes for the service; its ledger is there, whoever writes in it."""


class ReceiversLedger:
    """The ledger at one URL, which is there already; each method is a transaction of its own.

    All of them wait for others who write, for a few seconds, and raise:
        LedgerError: nothing was written. There is no ledger, or it has another schema, or it
            cannot be used now; `problem_of` says which.
    """

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        """Connect to nothing."""
        self.url = url
        """With its password; see `shown`."""
        self._patience = patience
        self._engine: Engine | None = None

    @classmethod
    def of(cls, options: LedgerOptions, environment: Mapping[str, str]) -> ReceiversLedger | None:
        """The ledger of the milter that has these options; None if they want none.

        Without STATE_DIRECTORY in *environment* it is sought where systemd has it.
        """
        place = place_of(options, {"STATE_DIRECTORY": STATE_DIRECTORY, **environment})
        return cls(place.url) if place else None

    @property
    def name(self) -> str:
        """The URL without its password."""
        return shown(self.url)

    def add_replies(
        self,
        replies: Mapping[ReplyKey, int],
        events: Sequence[Event],
        source: str,
        number: int,
    ) -> bool:
        """See `write.add_replies`."""
        with self._begin() as connection:
            return add_replies(connection, replies, events, source, number)

    def add_report(self, report: KnownReport, rows: Mapping[ReportKey, int], now: float) -> bool:
        """See `write.add_report`."""
        with self._begin() as connection:
            return add_report(connection, report, rows, now)

    def known(self, ids: Iterable[str]) -> frozenset[str]:
        """Those of *ids* whose reports are there already."""
        with self._begin() as connection:
            return known_reports(connection, ids)

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        if self._engine is None:
            self._engine = open_existing(self.url, patience=self._patience)
        with self._engine.begin() as connection:
            try:
                require_schema(connection)
            except SchemaError as error:
                raise LedgerError(str(error)) from error
            yield connection
