"""Loads a setup in the background, so that whoever waits for it goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from alignd.service.setup import Setup


class SetupLoader:
    """Loads setups one at a time."""

    def __init__(
        self,
        load_setup: Callable[[Setup | None], Setup],
        on_end: Callable[[], None],
        patience: float,
    ) -> None:
        """*on_end* is called in the thread that has loaded; a load may take *patience* seconds.

        The thread of one that takes longer is left alone: it waits for a file.
        """
        self._load_setup = load_setup
        self._on_end = on_end
        self._patience = patience
        self._results: list[Setup | Exception] = []
        self._thread: threading.Thread | None = None
        self._given_up_at: float | None = None

    @property
    def is_loading(self) -> bool:
        """Whether one has begun and its result was not taken."""
        return self._given_up_at is not None

    def begin(self, running: Setup) -> None:
        """Begin to load what replaces *running*.

        The result of a load that runs already is not waited for.
        """
        results: list[Setup | Exception] = []

        def load() -> None:
            try:
                results.append(self._load_setup(running))
            except Exception as error:
                results.append(error)
            self._on_end()

        self._results = results
        self._given_up_at = time.monotonic() + self._patience
        self._thread = threading.Thread(target=load, name="load", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread is left for it: be silent for as long as it takes
            self._thread = None
            load()

    def take(self) -> Setup | Exception | None:
        """The setup, or why there is none; None when nothing new is there."""
        if self._given_up_at is None:
            return None
        if self._results:
            self._given_up_at = None
            if self._thread is not None:
                self._thread.join()  # it is past the loading, so at its end
            return self._results.pop()
        if time.monotonic() > self._given_up_at:
            self._given_up_at = None
            self._results = []
            return TimeoutError(f"the configuration was not read within {self._patience:.0f} s")
        return None
