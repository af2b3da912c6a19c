"""What every question has that may be asked of a ledger from outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self, TypeVar

from sqlalchemy import Connection

from alignd.ledger.apply import OUTBOUND
from alignd.ledger.window import protocol
from alignd.ledger.window.protocol import MalformedError

MAX_ROWS = 50_000
"""Author domains in an answer, those of each tenant by themselves."""
LEGS = frozenset({OUTBOUND, "return"})

Answer_co = TypeVar("Answer_co", covariant=True)
Row = list[Any]


class Question(Protocol[Answer_co]):
    """A question, which is checked when it is made: that raises MalformedError."""

    word: ClassVar[str]

    @property
    def fields(self) -> dict[str, Any]:
        """What JSON has of it."""
        raise NotImplementedError

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Read *fields* of JSON.

        Raises:
            MalformedError: they are others, or have values that they cannot have.
        """
        raise NotImplementedError

    def ask(self, connection: Connection) -> Answer_co:
        """Find the answer.

        Raises:
            LedgerError: the database cannot be used.
            WindowError: the answer would be too large.
        """
        raise NotImplementedError

    def rows(self, connection: Connection) -> Iterator[Row]:
        """The same as rows of JSON."""
        raise NotImplementedError

    def read(self, rows: Iterable[Row]) -> Answer_co:
        """The answer out of these *rows*.

        Raises:
            MalformedError: they are not what `rows` makes.
        """
        raise NotImplementedError


def require_columns(value: object, length: int) -> Row:
    """The *value* of JSON as a row of so many columns.

    Raises:
        MalformedError: it is none.
    """
    found = protocol.items(value)
    if len(found) != length:
        raise MalformedError(f"not {length} columns")
    return found
