"""Has one thread do what several want at the same moment; the others wait for what it finds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Outcome = TypeVar("Outcome")


class SingleFlight(Generic[Key, Outcome]):
    """Work in progress, by its key; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Key, Future[Outcome]] = {}

    def run(self, key: Key, work: Callable[[], Outcome], patience: float) -> tuple[Outcome, bool]:
        """What *work* finds, and whether it was done here, not waited for.

        Raises:
            TimeoutError: another thread was at it, and took longer than *patience*, in seconds.
        """
        own: Future[Outcome] = Future()
        with self._lock:
            flight = self._flights.setdefault(key, own)
        if flight is not own:
            return flight.result(patience), False
        try:
            own.set_result(work())
        except BaseException as error:
            own.set_exception(error)  # those who wait must not wait for ever
        finally:
            with self._lock:
                del self._flights[key]
        return own.result(), True
