"""Asks questions in the background, so that no message waits for their answers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from alignd.resolver.cache import Question

AT_ONCE = 8
"""Questions that are under way: each may take the whole timeout when DNS is bad."""
MAX_WAITING = 1000
"""Questions; one that finds no place is asked at the next use of its answer."""


class Refresher:
    """A few threads, of which each asks one question at a time; safe for threads.

    A question that is waiting or under way is not taken again.
    """

    def __init__(self, ask: Callable[[Question], object], failed: Callable[[str], None]) -> None:
        """*failed* is called with the name of each exception that *ask* raises."""
        self._ask: Callable[[Question], object] = ask
        self._failed: Callable[[str], object] = failed
        self._lock = threading.Lock()
        self._taken: set[Question] = set()
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._has_ended = False

    def put(self, question: Question) -> None:
        """Have *question* asked soon, if there is room for it."""
        if question in self._taken or self._has_ended or len(self._taken) >= MAX_WAITING:
            return
        with self._lock:
            # Started when they are needed: an invocation of the command line needs none.
            if not self._has_ended and question not in self._taken and self._has_thread():
                self._taken.add(question)
                self._questions.put(question)

    def end(self) -> None:
        """Ask nothing more."""
        with self._lock:
            self._has_ended = True
            # They lead back to the resolver, whose files are closed when nobody uses it any more.
            self._ask = self._failed = _ignore
            for _ in self._threads:
                self._questions.put(None)

    def _has_thread(self) -> bool:
        """Whether a thread lives that will ask one more question; starts one, up to the limit."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) < min(AT_ONCE, len(self._taken) + 1):
            thread = threading.Thread(target=self._run, name="dns", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread left: those that live do it, or the next use
                return bool(self._threads)
            self._threads.append(thread)
        return True

    def _run(self) -> None:
        try:
            while (question := self._questions.get()) is not None and not self._has_ended:
                self._ask_one(question)
        finally:
            # Whatever ends a thread: no question may wait for one that is gone.
            self._taken.clear()

    def _ask_one(self, question: Question) -> None:
        try:
            self._ask(question)
        except Exception as error:
            # The message that asks when the answer has expired will meet it, too, and say more;
            # the thread has others to ask.
            self._failed(type(error).__name__)
        finally:
            self._taken.discard(question)


def _ignore(_: object) -> None:
    """What is asked and what fails when nobody refreshes any more."""
