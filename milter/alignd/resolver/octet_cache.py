"""A cache with a bound in octets: what is kept may be as large as its author likes."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

OVERHEAD = 400
"""Octets that an entry takes besides its key and value: two tuples, numbers, its share of the two
tables while they grow (measured: 200 to 350)."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class OctetCache(Generic[Key, Value]):
    """Keeps what was used last; safe for threads.

    There are two generations, with half of the octets each. When the young one is full it becomes
    the old one, and what the old one had is forgotten, but for what was used meanwhile. So a use
    costs one look into a dictionary and no lock, which it would where the order of all is kept.
    """

    def __init__(self, octets: int) -> None:
        self._half = octets // 2
        self._room = self._half
        self._young: dict[Key, tuple[Value, int]] = {}
        self._old: dict[Key, tuple[Value, int]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._young.keys() | self._old.keys())

    def get(self, key: Key) -> Value | None:
        entry = self._young.get(key)
        return entry[0] if entry is not None else self._get_from_old(key)

    def put(self, key: Key, value: Value, octets: int) -> None:
        """Keep *value*, which takes that many *octets* with its key; not if that is too much."""
        with self._lock:
            self._remove(key)
            self._add(key, (value, octets + OVERHEAD))

    def discard(self, key: Key) -> None:
        """Forget *key*, if it is kept."""
        with self._lock:
            self._remove(key)

    def _get_from_old(self, key: Key) -> Value | None:
        with self._lock:
            # Another thread may have moved it meanwhile.
            entry = self._young.get(key) or self._old.pop(key, None)
            if entry is None:
                return None
            if key not in self._young:
                self._add(key, entry)
            return entry[0]

    def _add(self, key: Key, entry: tuple[Value, int]) -> None:
        if entry[1] > self._half:
            return
        if entry[1] > self._room:
            self._old, self._young, self._room = self._young, {}, self._half
        self._young[key] = entry
        self._room -= entry[1]

    def _remove(self, key: Key) -> None:
        removed = self._young.pop(key, None)
        if removed is not None:
            self._room += removed[1]
        self._old.pop(key, None)
