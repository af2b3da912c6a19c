"""Daemons: started, ready, and ended; and what the kernel says of processes."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.lab.readiness import PATIENCE, wait_until

_LAST_LINES = 20  # of a log, in an error
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class StartError(RuntimeError):
    """A daemon ended instead of getting ready; the text has what it said."""


def is_worker(pid: int) -> bool:
    """Whether this is a worker of alignd."""
    return calls_itself(pid, "alignd: worker")


def calls_itself(pid: int, name: str) -> bool:
    """Whether a process has this name, which processes of alignd give themselves."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text() == f"{name}\n"
    return False


def stop(pid: int) -> None:
    """Stop a process, and return when none of its threads runs on: SIGSTOP alone takes a while."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _thread_states(pid) == {"T"}, f"stop of {pid}")


def _thread_states(pid: int) -> set[str]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {(each / "stat").read_text().rpartition(")")[2].split()[0] for each in tasks}


def start_daemon(command: Sequence[str | Path], log: Path, ready: Callable[[], bool]) -> None:
    """Start *command*, with *log* for what it prints, and return when it is *ready*.

    It runs on: for daemons that end with the namespace that they are in. Any user may use its
    sockets, since Postfix and the daemons are different ones.

    Raises:
        StartError: it ended.
        TimeoutError: it was not ready in time.
    """
    _start(command, log, ready, PATIENCE)


@contextmanager
def run_daemon(
    command: Sequence[str | Path], log: Path, ready: Callable[[], bool], timeout: float = PATIENCE
) -> Iterator[None]:
    """Run *command* as `start_daemon` does, until the end of the block."""
    process = _start(command, log, ready, timeout)
    try:
        yield
    finally:
        # None has anything to save, and those with libmilter take seconds to end on TERM.
        process.kill()
        process.wait()


def _start(
    command: Sequence[str | Path], log: Path, ready: Callable[[], bool], timeout: float
) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, umask=0
        )
    try:
        wait_until(
            lambda: process.poll() is not None or ready(), f"start of {command[0]}", timeout
        )
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode is not None:
        said = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        problem = f"{command[0]} ended with status {process.returncode}"
        raise StartError("\n".join([problem, *said]))
    return process


def missing_programs(names: Iterable[str]) -> tuple[str, ...]:
    """Return which of the programs are not installed."""
    return tuple(name for name in names if shutil.which(name) is None)


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


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far, its threads and its system calls included."""
    return _ticks(pid, 11)


def ended_processor_seconds(pid: int) -> float:
    """That of the processes which it has started, and which have ended."""
    return _ticks(pid, 13)


def _ticks(pid: int, first: int) -> float:
    """Seconds as user and as kernel, which follow one another in what the kernel says."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[first]) + int(numbers[first + 1])) / _TICKS


def resident_memory(pid: int) -> int:
    """Octets of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
