"""Limits how often something is done for one key, such as a look at DNS for one domain."""

from __future__ import annotations

import threading
from collections import OrderedDict

_ROUNDING = 1e-6
"""Seconds: who waits as long as he was told is not told to wait for the rest of a division."""


class RateLimiter:
    """A token bucket for each key: *burst* tokens, and one more *every* so many seconds.

    It has a bounded number of keys. One whose bucket is full again is as good as new, and is
    forgotten. While there is none to forget, a new key is refused: or whoever thinks of enough
    keys would make the memory of the others end.
    """

    def __init__(self, burst: int, every: float, max_keys: int = 10_000) -> None:
        if burst < 1 or every <= 0 or max_keys < 1:
            raise ValueError("a limit must let something through, and hold something back")
        self._span = burst * every
        self._every = every
        self._max_keys = max_keys
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When each bucket is full again; who has taken from his least lately is first."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float) -> float:
        """Take a token of *key* at the time *now*, of a clock that nobody sets.

        The result is 0.0; or, if there is none, in how many seconds to ask again.
        """
        with self._lock:
            self._forget(now)
            full_at = max(self._full_at.get(key, now), now)
            wait = full_at + self._every - self._span - now
            if key not in self._full_at and len(self._full_at) >= self._max_keys:
                wait = next(iter(self._full_at.values())) - now
            if wait > _ROUNDING:
                return wait
            self._full_at[key] = full_at + self._every
            self._full_at.move_to_end(key)
            return 0.0

    def _forget(self, now: float) -> None:
        while self._full_at and next(iter(self._full_at.values())) <= now + _ROUNDING:
            self._full_at.popitem(last=False)
