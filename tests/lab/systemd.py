"""A systemd of its own: keeps a socket open, starts alignd on it, and watches it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.evidence import end_of, heard
from tests.lab.log_pipe import LogPipe
from tests.lab.processes import calls_itself, is_worker, session_members
from tests.lab.readiness import wait_until

START = 20.0  # seconds, TimeoutStartSec
STOP = 55.0  # seconds, TimeoutStopSec

# The socket comes as standard input, since only a shell can name its own process id beforehand.
_HANDED_OVER = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0 </dev/null'


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a service is started as, and in."""

    program: Sequence[str] = ("-m", "alignd", "serve", "--config")
    """What Python runs; the path of the configuration comes last."""
    under: Sequence[str] = ()
    """Words before its command: a program that changes what it sees, and becomes it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    log_pipe: LogPipe | None = None
    """What it writes its log to, if not to a file."""


ORDINARY = Surroundings()
"""What pytest itself is in."""


@dataclass(slots=True)
class _Heard:
    """What the service has told its manager since it was started last."""

    readies: int = 0
    last_sign: float = 0.0


class Service:
    """alignd as a unit with a socket of its own, Restart=always and WatchdogSec."""

    def __init__(
        self,
        listening: socket.socket,
        config_path: Path,
        log_path: Path,
        watchdog: float,
        surroundings: Surroundings,
    ) -> None:
        self.config_path = config_path
        self.log_path = surroundings.log_pipe.copy if surroundings.log_pipe else log_path
        self.socket = f"unix:{listening.getsockname()}"
        self.starts = 0
        self.watchdog_kills = 0
        self._listening = listening
        self._watchdog = watchdog
        self._surroundings = surroundings
        self._notify_path = config_path.with_name("notify")
        self._ending = threading.Event()
        self._heard = _Heard()
        self._process: subprocess.Popen[bytes] | None = None
        self._manager: threading.Thread | None = None

    def start(self) -> None:
        """Start it, and keep it running until `stop`."""
        starts = self.starts
        self._ending.clear()
        self._manager = threading.Thread(target=self._manage, name="systemd")
        self._manager.start()
        self.await_restart(starts)

    def stop(self) -> None:
        """End it as `systemctl stop` does; the socket stays, so clients wait."""
        self._ending.set()
        if self._manager is not None and self._manager.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.main_pid, signal.SIGTERM)
            self._manager.join()

    def restart(self) -> None:
        """End it with TERM, and return when the next one is ready."""
        starts = self.starts
        os.kill(self.main_pid, signal.SIGTERM)
        self.await_restart(starts)

    def reload(self) -> None:
        """Have it read its configuration again, and return when it has."""
        readies = self._heard.readies
        os.kill(self.main_pid, signal.SIGHUP)
        wait_until(lambda: self._heard.readies > readies, "alignd to reload", START)

    def await_restart(self, starts: int, patience: float = START + STOP) -> None:
        """Return when one that came after the first *starts* ones is ready."""
        wait_until(
            lambda: self.starts > starts and self._heard.readies > 0,
            "alignd to be ready",
            patience,
        )

    @property
    def main_pid(self) -> int:
        """The process id of the supervisor."""
        if self._process is None:
            raise RuntimeError("not started yet")
        return self._process.pid

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [pid for pid in session_members(self.main_pid) if is_worker(pid)]

    def archive(self) -> int:
        """The process id of the one that has the archive of DNS answers."""
        return self._only("archive")

    def ledger(self) -> int:
        """The process id of the one that has the ledger."""
        return self._only("ledger")

    def log(self, begin: int = 0, end: int | None = None) -> str:
        """What it has logged, in all its lives, between two positions in its log."""
        return self.log_path.read_bytes()[begin:end].decode(errors="replace")

    def evidence(self) -> str:
        """What it has logged last, and how often it was started."""
        count = f"{self.starts} starts, {self.watchdog_kills} by the watchdog"
        return f"alignd's log ({count}):\n{end_of(self.log())}"

    def _only(self, name: str) -> int:
        members = session_members(self.main_pid)
        (owner,) = (pid for pid in members if calls_itself(pid, f"alignd: {name}"))
        return owner

    def _manage(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            self._notify_path.unlink(missing_ok=True)
            notify.bind(str(self._notify_path))
            notify.settimeout(0.05)
            while not self._ending.is_set():
                self._live(notify)

    def _live(self, notify: socket.socket) -> None:
        """See the service through one life, and leave none of its processes."""
        self._heard = _Heard(last_sign=time.monotonic())
        self._process = process = self._spawn()
        self.starts += 1
        while process.poll() is None:
            with suppress(TimeoutError):
                self._hear(notify.recv(4096))
            silent = time.monotonic() - self._heard.last_sign
            if silent > (self._watchdog if self._heard.readies else START):
                self.watchdog_kills += 1
                self._signal_all(signal.SIGKILL)
                process.wait()
        self._signal_all(signal.SIGKILL)  # KillMode=mixed
        wait_until(lambda: not session_members(process.pid), "the workers to end")

    def _spawn(self) -> subprocess.Popen[bytes]:
        given = self._surroundings
        command = [sys.executable, *given.program, str(self.config_path)]
        with (given.log_pipe.path if given.log_pipe else self.log_path).open("ab") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", _HANDED_OVER, "sh", *given.under, *command],
                stdin=self._listening.fileno(),
                stdout=log,
                stderr=log,
                env=os.environ
                | given.environment
                | {
                    "NOTIFY_SOCKET": str(self._notify_path),
                    "WATCHDOG_USEC": str(int(self._watchdog * 1e6)),
                },
                start_new_session=True,
            )

    def _hear(self, datagram: bytes) -> None:
        said = datagram.split(b"\n")
        if b"READY=1" in said:
            self._heard.readies += 1
        if b"READY=1" in said or b"WATCHDOG=1" in said:
            self._heard.last_sign = time.monotonic()

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in session_members(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def run_service(
    directory: Path,
    configuration: Callable[[str], str],
    *,
    watchdog: float = 30.0,
    surroundings: Surroundings = ORDINARY,
) -> Iterator[Service]:
    """Keep alignd running with files in *directory*, which is made for it.

    *configuration* returns the text of its configuration, given the socket to serve; it is
    started in these *surroundings*.
    """
    directory.mkdir()
    config_path = directory / "alignd.conf"
    config_path.write_text(configuration("fd:3"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "milter.sock"))
        (directory / "milter.sock").chmod(0o666)
        listening.listen(socket.SOMAXCONN)
        service = Service(listening, config_path, directory / "alignd.log", watchdog, surroundings)
        try:
            with heard(service):
                service.start()
                yield service
        finally:
            service.stop()
