"""Responsible for what every server of the tests needs: ports, a place, and bounded waiting."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.01


def free_ports(count: int) -> tuple[int, ...]:
    """Return *count* different TCP ports on which nothing listens on 127.0.0.1."""
    with ExitStack() as held:
        # All are held at once, or the kernel could hand out the same port twice.
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def wait_until(condition: Callable[[], T | None], what: str, timeout: float = 10) -> T:
    """Return the first true value of *condition*, or raise TimeoutError that says *what*."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(_PAUSE)
    return value


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
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


def children_of(pid: int) -> list[int]:
    """Return the processes that *pid* has started; none when it is gone."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def session_members(leader: int) -> list[int]:
    """Return the processes of the session that *leader* began, as the master of Postfix does."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, _group, session = path.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                members.append(int(path.parent.name))
    return members
