"""Responsible for running the real alignd: started, ready, heard, and ended in bounded time."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.readiness import open_directory, wait_until
from tests.support.settings import configuration

_START = 10  # seconds
_END = 15  # libmilter takes up to 5 s to end while a session is open


@dataclass(frozen=True, slots=True)
class Alignd:
    """A process of `alignd serve`; *socket* is where Postfix finds it, in Postfix's words."""

    process: subprocess.Popen[bytes]
    socket: str
    log_path: Path

    @property
    def returncode(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.process.poll()

    def log(self) -> str:
        """Return what it has written to its standard output and error so far."""
        return self.log_path.read_text(errors="replace")

    def log_line(self, queue_id: str) -> str:
        """Return the line about one message, which may still be on its way to the file."""
        line = re.compile(rf"^{re.escape(queue_id)}: .*", re.MULTILINE)
        return wait_until(lambda: line.search(self.log()), f"a log line of {queue_id}")[0]


@contextmanager
def run_alignd(directory: Path, nameserver: str, changes: str = "") -> Iterator[Alignd]:
    """Run `alignd serve` with the configuration of all tests and these *changes* (TOML) to it.

    It is ready when the block begins and gone when the block has ended; its files are in
    *directory*, which is made for it.
    """
    directory.mkdir()
    config_path, notify_path, log_path = (
        directory / name for name in ("alignd.conf", "notify", "log")
    )
    spec = f"unix:{directory}/milter.sock"
    config_path.write_text(configuration(changes, socket=spec, nameserver=nameserver))
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        log_path.open("wb") as log,
    ):
        notify.bind(str(notify_path))
        process = subprocess.Popen(
            [sys.executable, "-m", "alignd.cli", "serve", "--config", str(config_path)],
            stdout=log,
            stderr=log,
            env=os.environ | {"NOTIFY_SOCKET": str(notify_path)},
        )
        alignd = Alignd(process, spec, log_path)
        try:
            _wait_until_ready(alignd, notify)
            yield alignd
        finally:
            _end(process)


class Fleet:
    """One alignd for each distinct configuration of the cases, started when first needed."""

    def __init__(self, directory: Path, nameserver: str, running: ExitStack) -> None:
        self._directory = directory
        self._nameserver = nameserver
        self._running = running
        self._members: dict[str, Alignd] = {}

    def alignd(self, changes: str = "") -> Alignd:
        """Return the one that runs with these changes to the configuration."""
        if changes not in self._members:
            directory = self._directory / str(len(self._members))
            member = run_alignd(directory, self._nameserver, changes)
            self._members[changes] = self._running.enter_context(member)
        return self._members[changes]


@contextmanager
def run_fleet(nameserver: str) -> Iterator[Fleet]:
    """Keep a fleet, which asks *nameserver*, and end all of it."""
    with open_directory() as directory, ExitStack() as running:
        yield Fleet(directory, nameserver, running)


def _wait_until_ready(alignd: Alignd, notify: socket.socket) -> None:
    notify.settimeout(0.1)

    def is_ready() -> bool:
        if alignd.returncode is not None:
            raise RuntimeError(f"alignd ended at once, {alignd.returncode}:\n{alignd.log()}")
        try:
            return b"READY=1" in notify.recv(4096).split(b"\n")
        except TimeoutError:
            return False

    wait_until(is_ready, "alignd to be ready", _START)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
