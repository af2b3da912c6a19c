"""Coalesces identical calls: one thread runs, the others wait for its result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Outcome = TypeVar("Outcome")


class SingleFlight(Generic[Key, Outcome]):
    """The calls in progress, by key; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Key, Future[Outcome]] = {}

    def run(self, key: Key, work: Callable[[], Outcome], patience: float) -> tuple[Outcome, bool]:
        """Run *work*, or wait for the call with this *key* that is in progress.

        Returns:
            The result, and whether it was computed here.

        Raises:
            TimeoutError: another thread's call took longer than *patience*, in seconds.
        """
        own: Future[Outcome] = Future()
        # Whoever finds his own future in the dictionary came first, and does the work.
        with self._lock:
            flight = self._flights.setdefault(key, own)
        if flight is not own:
            return flight.result(patience), False
        try:
            own.set_result(work())
        except BaseException as error:
            own.set_exception(error)  # raised here and in every thread that waits
        finally:
            with self._lock:
                del self._flights[key]
        return own.result(), True
