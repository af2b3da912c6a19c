"""Work shared out among threads."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

THREADS = 4
"""More would only wait for a core."""


def in_parallel(
    work: Callable[[Iterator[T]], None], items: Iterable[T], *, threads: int = THREADS
) -> None:
    """Let *threads* share out *items* among them, and raise what the first of them raised.

    Each calls *work* once, with an iterator of its share. It ends early where another has failed.
    """
    waiting = iter(items)
    lock = threading.Lock()
    failures: list[Exception] = []

    def shared() -> Iterator[T]:
        while not failures:
            with lock:
                try:
                    item = next(waiting)
                except StopIteration:
                    return
            yield item

    def run() -> None:
        try:
            work(shared())
        except Exception as error:  # raised again in the thread that asked for it all
            failures.append(error)

    running = [threading.Thread(target=run, name=f"parallel-{n}") for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]
