"""Reads a ledger, wherever it is: what pages and reports ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from alignd.ledger.apply import OUTBOUND
from alignd.ledger.queries.events import DomainEvent
from alignd.ledger.queries.history import History
from alignd.ledger.queries.overview import DomainRow, Order, Selection
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.queries.traffic import Traffic
from alignd.ledger.receivers.rows import Receivers
from alignd.ledger.window.protocol import MalformedError, Obstacle, WindowError
from alignd.ledger.window.question import Question
from alignd.ledger.window.questions import (
    HistoryQuestion,
    OtherMessagesQuestion,
    OverviewQuestion,
    RelaysQuestion,
)
from alignd.ledger.window.spans import (
    EventsQuestion,
    ReceiversQuestion,
    Span,
    TrafficQuestion,
)

T = TypeVar("T")


class Asks(Protocol):
    """How a question reaches a ledger."""

    def __call__(self, question: Question[T]) -> T:
        """Ask *question*.

        Raises:
            WindowError: there is no answer.
        """
        raise NotImplementedError


class LedgerReader:
    """A ledger that can be asked, from any thread. Times are Unix times.

    What one method returns is of one moment; two calls may find the ledger changed. Every method
    raises:
        WindowError: there is no answer. MALFORMED: it is no name or no time that a ledger could
            have, such as a domain of 64 kB.
    """

    def __init__(self, ask: Asks) -> None:
        self._ask = ask

    def overview(
        self, selection: Selection, now: float, order: Order = Order.MESSAGES
    ) -> list[DomainRow]:
        """The author domains of *selection*, at most MAX_ROWS."""
        return self._ask(_made(lambda: OverviewQuestion(selection, now, order)))

    def other_messages(self, selection: Selection, now: float) -> int:
        """Messages of thirty days of *selection* that no domain has."""
        return self._ask(_made(lambda: OtherMessagesQuestion(selection, now)))

    def history(self, leg: str, domain: str, since: float, now: float) -> History:
        """What happened to *domain* from *since* on; its states whatever that is."""
        return self._ask(_made(lambda: HistoryQuestion(leg, domain, since, now)))

    def relays(self, now: float, leg: str | None = None) -> list[RelayRow]:
        """The relays that write to it."""
        return self._ask(_made(lambda: RelaysQuestion(now, leg)))

    def events(
        self, leg: str, tenant: str | None, since: float, until: float
    ) -> list[DomainEvent]:
        """What changed in that time, the newest MAX_EVENTS first; None: for all tenants."""
        return self._ask(_made(lambda: EventsQuestion(Span(leg, tenant, since, until))))

    def traffic(self, leg: str, tenant: str | None, since: float, until: float) -> list[Traffic]:
        """The messages of each domain on the days that begin in that time, at most MAX_ROWS."""
        return self._ask(_made(lambda: TrafficQuestion(Span(leg, tenant, since, until))))

    def receivers(
        self, tenant: str | None, domain: str | None, since: float, until: float
    ) -> Receivers:
        """What receivers said of the mail of the days that begin in that time, and what was
        predicted; see `receivers.read`. None: of all. At most MAX_ROWS."""
        span = (OUTBOUND, tenant, since, until)
        return self._ask(_made(lambda: ReceiversQuestion(Span(*span), domain)))


def _made(make: Callable[[], T]) -> T:
    try:
        return make()
    except MalformedError as error:
        raise WindowError(Obstacle.MALFORMED, f"not a question: {error}") from error
