"""A log that goes through a pipe, as journald's does, whose reader can be held up."""

import fcntl
import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEAST = 4096
"""The least octets that a pipe holds: some twenty lines."""


class LogPipe:
    """Copies what is written to *path* into a file."""

    def __init__(self, path: Path, copy: Path, octets: int) -> None:
        self.path = path
        self.copy = copy
        os.mkfifo(path)
        # For both ends, so that it is never closed while no service runs.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, octets)
        self._reads = threading.Event()
        self._reads.set()
        self._is_ending = threading.Event()
        self._reader = threading.Thread(target=self._read, name="log pipe")

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Read nothing meanwhile, of a pipe that is full already."""
        self._reads.clear()
        with suppress(BlockingIOError):
            while True:
                os.write(self._pipe, b"\n")
        try:
            yield
        finally:
            self._reads.set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Read until the end of the block."""
        self._reader.start()
        try:
            yield
        finally:
            self._is_ending.set()
            self._reads.set()
            self._reader.join()
            os.close(self._pipe)

    def _read(self) -> None:
        with self.copy.open("ab", buffering=0) as copy:
            while not self._is_ending.is_set():
                self._reads.wait()
                if select.select([self._pipe], [], [], 0.05)[0]:
                    copy.write(os.read(self._pipe, LEAST))


@contextmanager
def run_log_pipe(path: Path, copy: Path, octets: int = LEAST) -> Iterator[LogPipe]:
    """Make a pipe at *path* that holds so many *octets*, and copy what comes into *copy*."""
    pipe = LogPipe(path, copy, octets)
    with pipe.running():
        yield pipe
