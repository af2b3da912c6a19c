"""Ports, places, and waiting in bounded time, which every server needs."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

T = TypeVar("T")

Endpoint = Path | tuple[str, int]
"""A unix socket, or host and port."""

PATIENCE = 30.0
"""Seconds that something may take which takes a moment, on a machine that is busy with others.

Whoever waits returns at once when it has come, so patience costs only those who fail.
"""
_PAUSE = 0.01  # seconds between two looks


def free_ports(count: int) -> tuple[int, ...]:
    """Return *count* different TCP ports on which nothing listens on 127.0.0.1."""
    with ExitStack() as held:
        # All are held at once, or the kernel could hand out the same port twice.
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def wait_until(condition: Callable[[], T | None], what: str, timeout: float = PATIENCE) -> T:
    """Return the first true value of *condition*, or raise TimeoutError that says *what*."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(_PAUSE)
    return value


def wait_for_line(path: Path, pattern: str, what: str, start: int = 0) -> re.Match[str]:
    """Return the first match in a line of a log from *start* on: nothing of it is read twice."""
    wait_until(path.exists, f"{path}, for {what}")
    with path.open("rb") as log:
        log.seek(start)
        begun = b""

        def find() -> re.Match[str] | None:
            nonlocal begun
            lines, end, begun = (begun + log.read()).rpartition(b"\n")
            return re.search(pattern, (lines + end).decode(errors="replace"), re.MULTILINE)

        return wait_until(find, what)


def accepts(endpoint: Endpoint) -> bool:
    """Whether a server accepts connections there."""
    try:
        if isinstance(endpoint, Path):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(endpoint))
        else:
            socket.create_connection(endpoint, timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def open_directory(parent: Path | None = None) -> Iterator[Path]:
    """Make a temporary directory that every user may enter, as Postfix must to reach a socket."""
    with TemporaryDirectory(prefix="alignd-", dir=parent) as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
