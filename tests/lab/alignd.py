"""The real alignd: started, ready, heard, and ended in bounded time."""

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from tests.lab.evidence import end_of, heard
from tests.lab.processes import StartError, calls_itself, children_of
from tests.lab.readiness import PATIENCE, open_directory, wait_for_line, wait_until
from tests.lab.return_addresses import KEY_FILE, write_keys
from tests.lab.settings import configuration


@dataclass(frozen=True, slots=True)
class Alignd:
    """A process of `alignd serve`, `alignd return` or `alignd web`.

    *socket* is where Postfix finds its milter, in Postfix's words.
    """

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

    def log_line(self, queue_id: str, start: int = 0) -> str:
        """Return the first line about one message from *start* on: it may be still on its way."""
        line = rf"^{re.escape(queue_id)}: .*"
        return wait_for_line(self.log_path, line, f"a log line of {queue_id}", start)[0]

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


@dataclass(frozen=True, slots=True)
class Return:
    """A process of `alignd return`; its milter is at `alignd.socket`."""

    alignd: Alignd
    map_path: Path
    """The socket of the map."""

    def map_process(self) -> int | None:
        """The process id of the map; None while it is being replaced."""
        children = self.alignd.children()
        return next((pid for pid in children if calls_itself(pid, "alignd: map")), None)


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


@dataclass(frozen=True, slots=True)
class _Launch:
    """What is started, and in which surroundings."""

    command: str
    environment: Mapping[str, str]
    listening: socket.socket | None
    under: Sequence[str]
    stderr: int | None
    socket: str = ""
    """milter.socket, if it is not the one of this service."""


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
    launch = _Launch("serve", environment or {}, listening, under, stderr)
    with _run(directory, nameserver, changes, launch) as alignd:
        yield alignd


@contextmanager
def run_return(
    directory: Path,
    nameserver: str,
    changes: str = "",
    *,
    metrics: str = "",
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> Iterator[Return]:
    """Run `alignd return`, as `run_alignd` runs `alignd serve`.

    *changes* name the keys: `[return] keys = ...`. Its sockets are in *directory*; *metrics* is
    HOST:PORT, or empty for nowhere.
    """
    own = {
        "socket": f"unix:{directory}/map.sock",
        "milter": f"unix:{directory}/milter.sock",
        "metrics": metrics,
    }
    options = tomllib.loads(changes)
    changes = tomli_w.dumps(options | {"return": own | options.get("return", {})})
    # From the same configuration `alignd serve` can run beside it.
    outbound = f"unix:{directory}/outbound.sock"
    launch = _Launch("return", environment or {}, None, under, None, outbound)
    with _run(directory, nameserver, changes, launch) as alignd:
        yield Return(alignd, directory / "map.sock")


@contextmanager
def run_web(directory: Path, nameserver: str, changes: str) -> Iterator[Alignd]:
    """Run `alignd web`, as `run_alignd` runs `alignd serve`."""
    launch = _Launch("web", {}, None, (), None)
    with _run(directory, nameserver, changes, launch) as alignd:
        yield alignd


@contextmanager
def _run(directory: Path, nameserver: str, changes: str, launch: _Launch) -> Iterator[Alignd]:
    directory.mkdir(parents=True)
    config_path, log_path = directory / "alignd.conf", directory / "alignd.log"
    spec = f"unix:{directory}/milter.sock"
    ours = "fd:3" if launch.listening else launch.socket or spec
    keys = directory / KEY_FILE
    write_keys(keys)
    config_path.write_text(
        configuration(changes, socket=ours, nameserver=nameserver, keys=str(keys))
    )
    notices = Notices(directory / "notify")
    environment = {"NOTIFY_SOCKET": str(directory / "notify"), **launch.environment}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            _command(launch, config_path),
            stdout=log,
            stderr=log if launch.stderr is None else launch.stderr,
            env=os.environ | environment,
            pass_fds=[launch.listening.fileno()] if launch.listening else [],
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


def _command(launch: _Launch, config_path: Path) -> list[str]:
    program = [sys.executable, "-m", "alignd", launch.command, "--config", str(config_path)]
    command = [*launch.under, *program]
    if launch.listening is None:
        return command
    # Where systemd puts the first socket.
    return ["bash", "-c", f'exec 3<&{launch.listening.fileno()} && exec "$@"', "bash", *command]


class Fleet:
    """One alignd for each distinct configuration of the cases, started when first needed.

    What comes back has one of its own.
    """

    def __init__(self, directory: Path, nameserver: str, running: ExitStack) -> None:
        self._directory = directory
        self._nameserver = nameserver
        self._running = running
        self._members: dict[str, Alignd] = {}
        self._returning: dict[str, Alignd] = {}

    def evidence(self) -> str:
        """What each of them has written last."""
        members = (*self._members.values(), *self._returning.values())
        return "\n".join(member.evidence() for member in members)

    def alignd(self, changes: str = "") -> Alignd:
        """Return the one that runs with these changes to the configuration."""
        if changes not in self._members:
            directory = self._directory / str(len(self._members))
            member = run_alignd(directory, self._nameserver, changes)
            self._members[changes] = self._running.enter_context(member)
        return self._members[changes]

    def returning(self, changes: str) -> Alignd:
        """Return the `alignd return` that runs with these changes, which name the keys."""
        if changes not in self._returning:
            directory = self._directory / f"return-{len(self._returning)}"
            member = run_return(directory, self._nameserver, changes)
            self._returning[changes] = self._running.enter_context(member).alignd
        return self._returning[changes]


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
