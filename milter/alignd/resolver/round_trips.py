"""Estimates after how long a query to a nameserver is to be sent again (RFC 6298)."""

from __future__ import annotations

MIN_WAIT = 0.15
"""Seconds: a local resolver that loses packets is asked four times in the 1.8 s of a message."""
MAX_WAIT = 1.2
"""Seconds. After more there would be no second try in the 1.8 s of a message."""
_FIRST_WAIT = 0.3  # seconds, of a nameserver that was never heard
_TRIES = 6  # parts of the time there is: three ways to ask take 0, 1 and 3 of them
_LEAST = 0.05  # seconds, however little time there is
_GAIN, _GAIN_OF_VARIATION, _VARIATIONS = 1 / 8, 1 / 4, 4  # RFC 6298, section 2


class RoundTrips:
    """The round trips to one nameserver, smoothed."""

    def __init__(self) -> None:
        self.smoothed: float | None = None
        """Seconds; None before the first."""
        self._variation = 0.0

    def add(self, seconds: float) -> None:
        """Take note of a round trip that belongs to one certain transmission (Karn's rule)."""
        if self.smoothed is None:
            self.smoothed, self._variation = seconds, seconds / 2
            return
        difference = abs(self.smoothed - seconds)
        self._variation += _GAIN_OF_VARIATION * (difference - self._variation)
        self.smoothed += _GAIN * (seconds - self.smoothed)

    def wait(self, left: float) -> float:
        """The seconds to wait for a response, when *left* are left to ask in every way."""
        if self.smoothed is None:
            return max(_LEAST, min(_FIRST_WAIT, left / _TRIES))
        return min(max(self.smoothed + _VARIATIONS * self._variation, MIN_WAIT), MAX_WAIT)
