"""Asks a ledger at its database, as a user that need not be able to write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from alignd.ledger.database import LedgerError, problem_of
from alignd.ledger.migration import SchemaError
from alignd.ledger.queries.opening import LedgerDatabase, OpenLedger
from alignd.ledger.window.protocol import Obstacle, WindowError
from alignd.ledger.window.question import Question

T = TypeVar("T")


class DatabaseAsks:
    """The database at one URL, to which each question has a connection of its own."""

    def __init__(self, url: str) -> None:
        self._database = LedgerDatabase(url)

    def __call__(self, question: Question[T]) -> T:
        with self.opened() as connection:
            return question.ask(connection)

    @contextmanager
    def opened(self) -> Iterator[OpenLedger]:
        """The ledger, to be asked.

        Raises:
            WindowError: it cannot be, or not to the end.
        """
        try:
            with self._database.connected() as connection:
                yield connection
        except LedgerError as error:
            raise WindowError(Obstacle.DATABASE, problem_of(error)) from error
        except SchemaError as error:
            raise WindowError(Obstacle.SCHEMA, str(error)) from error
