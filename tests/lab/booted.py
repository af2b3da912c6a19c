"""A Debian of its own, booted: systemd as process 1, on a throw-away copy of a root."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.processes import StartError, missing_programs
from tests.lab.readiness import wait_until
from tests.lab.roots import PROGRAMS

_BOOT = 60.0  # seconds, and more than any boot takes that gets there
_END = 20.0
_RUNS = ("running", "degraded")
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
# nspawn wants a hierarchy of cgroups of version 2 and none beside it, its own processes and its
# own state. All of that is gone with the namespaces, and those with the first process.
_SCRIPT = """\
set -e
cd "$PLACE"
mkdir "$CGROUP" && echo $$ >"$CGROUP/cgroup.procs"
exec unshare --mount --cgroup --pid --fork --kill-child --propagation private sh -ec '
mount -t proc proc /proc
mount -t overlay -o "lowerdir=$LOWER,upperdir=upper,workdir=work" overlay root
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run/systemd
mkdir /run/systemd/nspawn
exec systemd-nspawn --quiet --boot --directory="$PLACE/root" --machine="$NAME" --register=no \
  --keep-unit --private-network --resolv-conf=off --link-journal=no --console=pipe --timezone=off'
"""
_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    *("HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"),
    *("SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0"),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What a command has done."""

    status: int
    output: str
    """What it wrote, to standard output and standard error."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that has booted; *pid* is its process 1, as it is known outside."""

    pid: int

    def run(self, command: str, said: str = "", timeout: float = 120.0) -> Done:
        """Run *command* in a shell as root, with *said* as its standard input."""
        done = subprocess.run(
            [*self._inside(), "sh", "-c", command],
            input=said.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"))

    def do(self, command: str, said: str = "", timeout: float = 120.0) -> str:
        """Run *command* as `run` does; what it wrote, if it succeeds.

        Raises:
            AssertionError: it fails.
        """
        done = self.run(command, said, timeout)
        assert done.status == 0, f"{command}: {done.status}\n{done.output}"
        return done.output

    def write(self, path: str, text: str) -> None:
        """Write the file at *path*, and leave its owner and mode."""
        self.do(f"cat >{path}", text)

    def copy(self, file: Path, directory: str) -> str:
        """Copy a *file* from outside into a *directory*; its path there."""
        path = f"{directory}/{file.name}"
        with file.open("rb") as source:
            subprocess.run([*self._inside(), "sh", "-c", f"cat >{path}"], stdin=source, check=True)
        return path

    def show(self, unit: str, name: str) -> str:
        """A property that systemd has of *unit*."""
        return self.do(f"systemctl show --property={name} --value {unit}").strip()

    def is_active(self, unit: str) -> bool:
        return self.run(f"systemctl is-active {unit}").output.strip() == "active"

    def log_of(self, unit: str) -> str:
        """What *unit* has said."""
        return self.run(f"journalctl --no-pager --output=cat --unit={unit}").output

    @contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that this thread makes in the block are in the network of the machine."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        other = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            _step_into(other)
            yield
        finally:
            _step_into(own)
            os.close(own)
            os.close(other)

    def _inside(self) -> list[str]:
        target = ["nsenter", f"--target={self.pid}"]
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        return [*target, *spaces, "env", "-i", *_ENVIRONMENT]


def obstacle() -> str | None:
    """Why no machine can be booted here; None if one can."""
    if os.geteuid():
        return "only root can boot a machine"
    if missing := missing_programs(PROGRAMS):
        return f"not installed: {', '.join(missing)}; `make packages` installs them"
    if _cgroups() is None:
        return "there is no hierarchy of cgroups of version 2, which systemd-nspawn needs"
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        return "the kernel has no overlay file system"
    return None


@contextmanager
def boot(root: Path, name: str) -> Iterator[Machine]:
    """Boot a machine with a copy of *root*, which stays as it is, and switch it off at the end."""
    cgroups = _cgroups()
    assert cgroups is not None, obstacle()
    place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/var/tmp"))
    cgroup = cgroups / place.name
    for each in ("upper", "work", "root"):
        (place / each).mkdir()
    place.chmod(0o755)
    variables = {"CGROUP": cgroup, "PLACE": place, "LOWER": root, "NAME": name}
    console = place / "console"
    try:
        with (
            console.open("wb") as output,
            subprocess.Popen(
                ["sh", "-c", _SCRIPT],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **{key: str(value) for key, value in variables.items()}},
                start_new_session=True,
            ) as started,
        ):
            try:
                yield _booted(started, console)
            finally:
                _switch_off(started)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        _remove(cgroup)


def _booted(started: subprocess.Popen[bytes], console: Path) -> Machine:
    """The machine, once it has started all that it starts."""

    def has_begun() -> bool:
        if started.poll() is not None:
            raise StartError(f"the machine ended:\n{console.read_text(errors='replace')[-3000:]}")
        return _first_process(started.pid) is not None

    wait_until(has_begun, "the machine to start", _BOOT)
    machine = Machine(_first_process(started.pid) or 0)

    def runs() -> bool:
        return machine.run("systemctl is-system-running").output.strip() in _RUNS

    wait_until(runs, "the machine to boot", _BOOT)
    return machine


def _switch_off(started: subprocess.Popen[bytes]) -> None:
    if started.poll() is None and (pid := _first_process(started.pid)):
        Machine(pid).run("systemctl poweroff --no-block")
        with suppress(subprocess.TimeoutExpired):
            started.wait(_END)
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def _first_process(ancestor: int) -> int | None:
    """The process 1 of the machine that *ancestor* has started: three namespaces deep."""
    below = [ancestor]
    while below:
        pid = below.pop()
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            line = next(each for each in status.splitlines() if each.startswith("NSpid:"))
            numbers = line.split()[1:]
            is_ready = Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"
            if len(numbers) >= 3 and numbers[-1] == "1" and is_ready:
                return pid
            below += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return None


def _cgroups() -> Path | None:
    """Where the hierarchy of version 2 is mounted."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)


def _remove(cgroup: Path) -> None:
    """Remove a cgroup with those below it, once their processes have ended."""

    def is_gone() -> bool:
        for each in sorted(cgroup.rglob("*/"), reverse=True):
            with suppress(OSError):
                each.rmdir()
        with suppress(OSError):
            cgroup.rmdir()
        return not cgroup.exists()

    wait_until(is_gone, "the cgroup to be empty", _END)


def _step_into(network: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(network, _NEW_NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
