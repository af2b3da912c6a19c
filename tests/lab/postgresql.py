"""A real database server: a PostgreSQL cluster of its own, which can be stopped and killed."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.lab.processes import StartError, ended_processor_seconds, processor_seconds
from tests.lab.readiness import free_ports, open_directory, wait_until

USER = "postgres"
"""The only user of the cluster; the server refuses to run as root."""
_AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--")
_DEBIAN = Path("/usr/lib/postgresql")
# A server that is killed loses nothing that the kernel has: only a machine that dies would.
_OPTIONS = (
    *("fsync=off", "synchronous_commit=on", "full_page_writes=off", "shared_buffers=32MB"),
    *("max_connections=100", "logging_collector=off", "log_min_messages=error"),
)


def obstacle() -> str | None:
    """Say why no PostgreSQL can run here, or None."""
    if _programs() is None:
        return "postgresql is not installed"
    return None if os.geteuid() == 0 else "root is needed to run PostgreSQL as another user"


@dataclass
class PostgreSql:
    """A cluster, which listens on loopback and asks for no password."""

    directory: Path
    port: int
    options: Sequence[str] = ()
    """Besides those of all tests."""
    under: Sequence[str] = ()
    """Words before its command, such as those that have it see another file system."""
    _names: Iterator[int] = field(default_factory=count)
    _process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """Create a database, and return its name."""
        name = f"ledger_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run *statement* as the administrator, and return its rows, a line each."""
        command: list[str | Path] = [
            *(_program("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"),
            *("--set=ON_ERROR_STOP=1", "--host=127.0.0.1", f"--port={self.port}"),
            *(f"--username={USER}", f"--dbname={database}", f"--command={statement}"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.rstrip("\n")

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        options = [f"--{option}" for option in (*_OPTIONS, *self.options)]
        options += ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.directory)]
        data = str(self.directory / "data")
        command = [*self.under, *_AS_USER, str(_program("postgres")), "-D", data, *options]
        log = self.directory / "postgresql.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=stream)
        self._process = process
        wait_until(lambda: process.poll() is not None or self._is_ready(), "PostgreSQL", 60.0)
        if process.returncode is not None:
            raise StartError(log.read_text(errors="replace"))

    def stop(self) -> None:
        """Shut the server down at once: sessions end, and their transactions with them."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and all that it has started."""
        assert self._process is not None
        self._signal_all(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop it and all that it has started in their tracks, connections open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def end(self) -> None:
        if self._process is not None:
            self.thaw()
            self._end(signal.SIGQUIT)

    def processor_seconds(self) -> float:
        """Processor time of the server so far, and of all that it has started."""
        assert self._process is not None
        pid = self._process.pid
        living = 0.0
        for each in _children(pid):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                living += processor_seconds(each)
        return processor_seconds(pid) + ended_processor_seconds(pid) + living

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            with suppress(ProcessLookupError):  # it ended because of the one before
                os.kill(pid, number)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(timeout=60)
        self._process = None

    def _is_ready(self) -> bool:
        at = ["-q", "-h", "127.0.0.1", "-p", str(self.port)]
        command = [str(_program("pg_isready")), *at]
        return subprocess.run(command, check=False).returncode == 0


@contextmanager
def run_postgresql(
    parent: Path | None = None, *, options: Sequence[str] = (), under: Sequence[str] = ()
) -> Iterator[PostgreSql]:
    """Run a new cluster until the end of the block, with these *options* besides those of all.

    It is run by the program *under*, if that is given.
    """
    with open_directory(parent) as directory:
        shutil.chown(directory, USER, USER)
        made = ["--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8"]
        data = directory / "data"
        command: list[str | Path] = [_program("initdb"), "--pgdata", data, "--locale=C.UTF-8"]
        command += made
        with (directory / "initdb.log").open("wb") as stream:
            subprocess.run(
                command, check=True, stdout=stream, user=USER, group=USER, extra_groups=()
            )
        server = PostgreSql(directory, free_ports(1)[0], options, under)
        try:
            server.start()
            yield server
        finally:
            server.end()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def _programs() -> Path | None:
    """Where Debian has the programs of the newest version."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _program(name: str) -> Path:
    programs = _programs()
    assert programs is not None, obstacle()
    return programs / name
