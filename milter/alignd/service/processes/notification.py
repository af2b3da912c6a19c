"""Tells systemd, as sd_notify(3) does, what becomes of the service, and never waits for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from math import inf

import sdnotify

_MOST = 4  # states that could not be told yet; a later one makes an older one pointless
_PROBE_AGAIN_SECONDS = 1.0  # after a failed probe, which may have met a dying worker


class ServiceManager:
    """systemd, or whoever reads the socket that NOTIFY_SOCKET names; it may be nobody."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._untold: deque[str] = deque(maxlen=_MOST)
        if self._notifier.socket is not None:
            # Its queue holds ten messages or so (unix(7), max_dgram_qlen).
            self._notifier.socket.setblocking(False)
            self._notifier.debug = True  # raise what goes wrong

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def feed_watchdog(self) -> None:
        """Say that the service works; if that cannot be told now, it is dropped."""
        self._send("WATCHDOG=1")

    def tell_untold(self) -> None:
        """Try again to tell what could not be told."""
        while self._untold and self._send(self._untold[0]):
            self._untold.popleft()

    def _tell(self, state: str) -> None:
        self._untold.append(state)
        self.tell_untold()

    def _send(self, message: str) -> bool:
        if self._notifier.socket is None:
            return True
        try:
            self._notifier.notify(message)
        except OSError:  # it is not read at the moment, or gone
            return False
        return True


class Watchdog:
    """systemd's, which ends a service that does not feed it (systemd.service(5), WatchdogSec=)."""

    def __init__(
        self, manager: ServiceManager, answers: Callable[[], bool], environment: Mapping[str, str]
    ) -> None:
        """It is fed while the service *answers*, as an MTA would see it."""
        self._manager = manager
        self._answers = answers
        self._environment = environment
        self._next = inf

    def begin(self) -> None:
        """Feed it from now on: the service has become ready."""
        self._next = min(self._next, time.monotonic())

    def feed(self) -> None:
        """Feed it if it is time to, three times as often as it asks for."""
        interval = int(self._environment.get("WATCHDOG_USEC", "0")) / 1e6 / 3
        if not interval or time.monotonic() < self._next:
            return
        answers = self._answers()
        if answers:
            self._manager.feed_watchdog()
        self._next = time.monotonic() + (interval if answers else _PROBE_AGAIN_SECONDS)
