"""A dictionary of bounded size, in which the key that was set longest ago makes room."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Bounded(Generic[Key, Value]):
    """Keeps the last *limit* keys that were set."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def __setitem__(self, key: Key, value: Value) -> None:
        self._kept.pop(key, None)  # a key that is set again is young again
        self._kept[key] = value
        if len(self._kept) > self._limit:
            del self._kept[next(iter(self._kept))]

    def get(self, key: Key) -> Value | None:
        return self._kept.get(key)
