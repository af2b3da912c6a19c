"""The faults of the storm `world`: what happens to the machine around alignd, each by its name."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from storm.mail_path import MailPath
from tests.lab.faulty_nameserver import Fault as NameserverFault
from tests.lab.faulty_nameserver import FaultyNameserver
from tests.lab.log_pipe import LogPipe
from tests.lab.readiness import wait_until
from tests.lab.stepped_clock import SteppedClock

AS_USER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""The kernel limits the processes of a user, but not of root: alignd runs as this one."""
DAY = 86_400
SILENT_CONNECTIONS = 600
_HALF_A_PACKET = b"\0\0\0"  # a packet begins with its length, four octets


@dataclass(slots=True)
class World:
    """What is around alignd, and can be changed while it runs."""

    resolv_conf: Path
    """What alignd sees as /etc/resolv.conf."""
    nameservers: list[FaultyNameserver]
    """The first is named in resolv.conf, the other is a spare."""
    archive: Path
    log_pipe: LogPipe
    clock: SteppedClock | None
    path: MailPath = field(init=False)

    @property
    def nameserver(self) -> FaultyNameserver:
        """The one that resolv.conf names."""
        return self.nameservers[0]

    def name(self, nameserver: FaultyNameserver) -> None:
        """Have resolv.conf name this one, in the way of resolvconf(8): a new file, moved there."""
        self._replace_resolv_conf(f"nameserver {nameserver.host}\n".encode())

    def _replace_resolv_conf(self, content: bytes) -> None:
        new = self.resolv_conf.with_name("resolv.conf.new")
        new.write_bytes(content)
        new.replace(self.resolv_conf)

    def break_resolv_conf(self) -> None:
        """Leave what a tool with a bug might, in place: no address, and Latin-1."""
        self.resolv_conf.write_bytes(b"# r\xe9seau\nnameserver dns1.example\n")


Play = Callable[[World], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens to the machine."""

    name: str
    play: Play
    """Has it, and in the end takes it back."""
    dns_is_well: bool = True
    """Whether domains that were never met can be judged meanwhile."""
    archive_is_away: bool = False
    """Then, with DNS away as well, a worker knows no domain that only another one has met."""
    needs: Callable[[World], str | None] = lambda _: None
    """Says why it cannot be had here."""


@contextmanager
def another_nameserver(world: World) -> Iterator[None]:
    """Let the nameserver go away while resolv.conf names the other one; it stays so."""
    world.nameservers.reverse()
    gone, comes = world.nameservers[1], world.nameservers[0]
    comes.fault, gone.fault = NameserverFault.NONE, NameserverFault.SILENT
    world.name(comes)
    yield


@contextmanager
def broken_resolv_conf(world: World) -> Iterator[None]:
    """Break resolv.conf, and ask for a reload."""
    world.break_resolv_conf()
    os.kill(world.path.service.main_pid, signal.SIGHUP)
    try:
        yield
    finally:
        world.name(world.nameserver)


@contextmanager
def broken_resolv_conf_and_a_killed_worker(world: World) -> Iterator[None]:
    """Break resolv.conf, and have a worker replaced."""
    world.break_resolv_conf()
    _kill_a_worker(world)
    try:
        yield
    finally:
        world.name(world.nameserver)


@contextmanager
def _nameserver(world: World, fault: NameserverFault) -> Iterator[None]:
    world.nameserver.fault = fault
    try:
        yield
    finally:
        world.nameserver.fault = NameserverFault.NONE


def uplink_silent(world: World) -> AbstractContextManager[None]:
    """Take the uplink from a resolver that lives, and waits."""
    return _nameserver(world, NameserverFault.UPLINK_DOWN)


def uplink_failing(world: World) -> AbstractContextManager[None]:
    """Take the uplink from a resolver that lives, and says SERVFAIL after a second."""
    return _nameserver(world, NameserverFault.UPLINK_FAILING)


@contextmanager
def _clock(world: World, seconds: int) -> Iterator[None]:
    assert world.clock is not None
    world.clock.step(seconds)
    try:
        yield
    finally:
        world.clock.step(0)


def clock_back(world: World) -> AbstractContextManager[None]:
    """Set the clock a day back, and then right again."""
    return _clock(world, -DAY)


def clock_ahead(world: World) -> AbstractContextManager[None]:
    """Set the clock a day ahead, and then right again."""
    return _clock(world, DAY)


def log_blocked(world: World) -> AbstractContextManager[None]:
    """Let nobody read the log."""
    return world.log_pipe.held_up()


@contextmanager
def archive_locked(world: World) -> Iterator[None]:
    """Lock the archive of DNS answers from another process, while DNS fails."""
    with ExitStack() as held:
        database = sqlite3.connect(world.archive, isolation_level=None, timeout=0.5)
        held.callback(database.close)
        wait_until(lambda: _takes(world, database), "the archive to be locked")
        held.callback(database.execute, "ROLLBACK")
        held.enter_context(_nameserver(world, NameserverFault.DOWN))
        yield


def _takes(world: World, database: sqlite3.Connection) -> bool:
    # Who has it for itself alone has to end first: its replacement then finds it locked.
    with suppress(ValueError):  # it is being replaced
        os.kill(world.path.service.archive(), signal.SIGKILL)
    try:
        database.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True


@contextmanager
def archive_stopped(world: World) -> Iterator[None]:
    """Stop the process that has the archive, while DNS fails."""
    owner = world.path.service.archive()
    os.kill(owner, signal.SIGSTOP)
    try:
        with _nameserver(world, NameserverFault.DOWN):
            yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(owner, signal.SIGCONT)


@contextmanager
def _limited(world: World, limit: str, most: int) -> Iterator[None]:
    """Limit the supervisor alone, by an option of prlimit(1), and have it replace a worker."""
    pid = world.path.service.main_pid
    before = _prlimit(pid, f"--{limit}", "--noheadings", "--raw", "--output=SOFT")
    _prlimit(pid, f"--{limit}={most}:")
    try:
        _kill_a_worker(world)
        yield
    finally:
        if world.path.service.main_pid == pid:  # else it ended of the fault
            _prlimit(pid, f"--{limit}={before}:")


def _prlimit(pid: int, *options: str) -> str:
    # As the user of the process: in a container, root may be kept from it.
    command = [*AS_USER, "prlimit", f"--pid={pid}", *options]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def no_process(world: World) -> AbstractContextManager[None]:
    """Refuse the supervisor another process, and kill a worker."""
    return _limited(world, "nproc", 1)


def no_descriptor(world: World) -> AbstractContextManager[None]:
    """Refuse the supervisor another descriptor, and kill a worker."""
    taken = set(map(int, os.listdir(f"/proc/{world.path.service.main_pid}/fd")))
    return _limited(world, "nofile", min(set(range(len(taken) + 1)) - taken))


def _kill_a_worker(world: World) -> None:
    os.kill(world.path.service.workers()[0], signal.SIGKILL)


@contextmanager
def silent_connections(world: World) -> Iterator[None]:
    """Open more connections than there are descriptors: half say nothing, half too little."""
    address = world.path.service.socket.removeprefix("unix:")
    with ExitStack() as open_ones:
        for number in range(SILENT_CONNECTIONS):
            connection = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(address)
            if number % 2:
                connection.sendall(_HALF_A_PACKET)
        yield


def _no_clock(world: World) -> str | None:
    return None if world.clock else "gcc is not installed"


FAULTS = (
    Fault("another-nameserver", another_nameserver, dns_is_well=False),
    Fault("and-back", another_nameserver, dns_is_well=False),
    Fault("bad-resolv-conf", broken_resolv_conf),
    Fault("bad-resolv-conf-kill", broken_resolv_conf_and_a_killed_worker),
    Fault("uplink-silent", uplink_silent, dns_is_well=False),
    Fault("uplink-failing", uplink_failing, dns_is_well=False),
    Fault("clock-back", clock_back, needs=_no_clock),
    Fault("clock-ahead", clock_ahead, needs=_no_clock),
    Fault("log-blocked", log_blocked),
    Fault("archive-locked", archive_locked, dns_is_well=False, archive_is_away=True),
    Fault("archive-stopped", archive_stopped, dns_is_well=False, archive_is_away=True),
    Fault("no-process", no_process),
    Fault("no-descriptor", no_descriptor),
    Fault("silent-connections", silent_connections),
)
