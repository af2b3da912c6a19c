"""The real alignd: started, ready, heard, and ended in bounded time."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.evidence import end_of, heard
from tests.lab.processes import StartError, children_of
from tests.lab.readiness import PATIENCE, open_directory, wait_for_line, wait_until
from tests.lab.settings import configuration


@dataclass(frozen=True, slots=True)
class Alignd:
    """A process of `alignd serve`; *socket* is where Postfix finds it, in Postfix's words."""

    process: subprocess.Popen[bytes]
    socket: str
    config_path: Path
    log_path: Path
    notices: "Notices"

    @property
    def returncode(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.process.poll()

    def log(self) -> str:
        """Return what it has written to its standard output and error so far."""
        return self.log_path.read_text(errors="replace")

    def evidence(self) -> str:
        """What it has written last."""
        return f"alignd's log:\n{end_of(self.log())}"

    def log_line(self, queue_id: str) -> str:
        """Return the line about one message, which may still be on its way to the file."""
        line = rf"^{re.escape(queue_id)}: .*"
        return wait_for_line(self.log_path, line, f"a log line of {queue_id}")[0]

    def children(self) -> list[int]:
        """The process ids of its workers, and of its monitor if it has metrics."""
        return children_of(self.process.pid)

    def wait_for_notice(self, notice: str, timeout: float = PATIENCE) -> None:
        """Wait until it has told systemd *notice* since it was last waited for."""
        wait_until(lambda: self._has_notice(notice), f"alignd to say {notice}", timeout)

    def _has_notice(self, notice: str) -> bool:
        if self.returncode is not None and not self.notices.take(notice):
            raise StartError(f"alignd ended, {self.returncode}:\n{self.log()}")
        return self.notices.take(notice)


class Notices:
    """What a service has told systemd, in order, heard on a socket of our own."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._heard: list[str] = []

    def take(self, notice: str) -> bool:
        """Whether *notice* was heard; it and all before it are then forgotten."""
        with suppress(BlockingIOError):
            while True:
                self._heard += self._socket.recv(4096).decode().split("\n")
        if notice not in self._heard:
            return False
        self._heard = self._heard[self._heard.index(notice) + 1 :]
        return True

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


@contextmanager
def run_alignd(
    directory: Path,
    nameserver: str,
    changes: str = "",
    *,
    environment: Mapping[str, str] | None = None,
    listening: socket.socket | None = None,
    under: Sequence[str] = (),
    stderr: int | None = None,
) -> Iterator[Alignd]:
    """Run `alignd serve` with the configuration of all tests and these *changes* (TOML) to it.

    It is ready when the block begins and gone when the block has ended; its files are in
    *directory*, which is made for it. With a *listening* socket, it gets that one as systemd
    hands over a socket: as descriptor 3. The command goes behind the words *under*, if those are
    given: a program that limits what it runs. Its log goes to *stderr*, a descriptor, if that is
    given, and not to its file.
    """
    directory.mkdir(parents=True)
    config_path, log_path = directory / "alignd.conf", directory / "alignd.log"
    spec = f"unix:{directory}/milter.sock"
    ours = "fd:3" if listening else spec
    config_path.write_text(configuration(changes, socket=ours, nameserver=nameserver))
    notices = Notices(directory / "notify")
    environment = {"NOTIFY_SOCKET": str(directory / "notify"), **(environment or {})}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            _command(config_path, listening, under),
            stdout=log,
            stderr=log if stderr is None else stderr,
            env=os.environ | environment,
            pass_fds=[listening.fileno()] if listening else [],
        )
    alignd = Alignd(process, spec, config_path, log_path, notices)
    try:
        with heard(alignd):
            alignd.wait_for_notice("READY=1")
            yield alignd
    except BaseException:
        process.kill()
        process.wait()
        raise
    else:
        _end(alignd)
    finally:
        notices.close()


def _command(
    config_path: Path, listening: socket.socket | None, under: Sequence[str]
) -> list[str]:
    program = [sys.executable, "-m", "alignd", "serve", "--config", str(config_path)]
    serve = [*under, *program]
    if listening is None:
        return serve
    # Where systemd puts the first socket.
    return ["bash", "-c", f'exec 3<&{listening.fileno()} && exec "$@"', "bash", *serve]


class Fleet:
    """One alignd for each distinct configuration of the cases, started when first needed."""

    def __init__(self, directory: Path, nameserver: str, running: ExitStack) -> None:
        self._directory = directory
        self._nameserver = nameserver
        self._running = running
        self._members: dict[str, Alignd] = {}

    def evidence(self) -> str:
        """What each of them has written last."""
        return "\n".join(member.evidence() for member in self._members.values())

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


def _end(alignd: Alignd) -> None:
    alignd.process.terminate()
    try:
        alignd.process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        alignd.process.kill()
        alignd.process.wait()
        raise AssertionError(f"alignd does not end:\n{alignd.log()}") from error
