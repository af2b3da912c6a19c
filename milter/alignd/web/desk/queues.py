"""Bounds how many threads wait for the same, so that those who want something else find some."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class QueueFullError(Exception):
    """As many wait as may."""


class Queues:
    """A queue with so many places for each key; safe for threads."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = Counter[Hashable]()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, key: Hashable) -> Iterator[None]:
        """A place in the queue of *key*, while the block runs.

        Raises:
            QueueFullError: there is none.
        """
        with self._lock:
            if self._taken[key] >= self._places:
                raise QueueFullError
            self._taken[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]
