"""A network, a process table and mounts for one command, which vanish with it.

The demo and others play on real-looking addresses and on port 53, as root. Linux namespaces
without a name keep all that away from the machine, and there is nothing to clean up afterwards:
when the first process of the namespaces ends, however it ends, the kernel ends the others, and
the network, the mounts and the files (they are in memory) are gone.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "--"),
)
"""Before a command: its first process dies with us, even when we are killed ourselves."""
_CLONE_FS, _CLONE_NEWNS, _CLONE_NEWNET = 0x200, 0x20000, 0x40000000
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"


def run_isolated(command: Sequence[str]) -> int:
    """Run *command*, with an empty directory as last argument, and return its exit status."""
    directory = directory_of(os.getpid())
    directory.mkdir(exist_ok=True)
    process = subprocess.Popen([*ISOLATED, *command, str(directory)])
    try:
        return process.wait()
    finally:
        # After Ctrl-C too: the directory is in use until the namespaces are gone.
        process.kill()
        process.wait()
        directory.rmdir()


@contextmanager
def entered() -> Iterator[Path]:
    """Have this thread in a network and mounts of their own, with what it starts meanwhile.

    The block gets an empty directory. Processes are those of the machine: end what you start.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = [os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY) for name in ("net", "mnt")]
    directory, here = directory_of(os.getpid()), Path.cwd()
    directory.mkdir()
    try:
        _succeed(libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS))
        _run("mount", "--make-rprivate", "/")
        yield directory
    finally:
        # A thread that shares its working directory with another may not change its mounts.
        _succeed(libc.unshare(_CLONE_FS))
        for descriptor in before:
            _succeed(libc.setns(descriptor, 0))
            os.close(descriptor)
        os.chdir(here)
        directory.rmdir()


def directory_of(process_id: int) -> Path:
    """Return the directory of the run with this process id; it stays empty outside."""
    # Not below /tmp: the daemons run as several users, and TMPDIR may be closed to them.
    return Path(f"/run/alignd-lab-{process_id}")


def furnish(directory: Path, addresses: Iterable[str], nameserver: str) -> None:
    """Prepare the namespaces that we are in: files in *directory*, addresses, DNS and syslog."""
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "alignd-lab", directory)
    _run("ip", "link", "set", "lo", "up")
    for address in addresses:
        prefix = "128" if ":" in address else "32"
        _run("ip", "address", "add", f"{address}/{prefix}", "dev", "lo")
    _hide(Path("/etc/resolv.conf"), f"nameserver {nameserver}\n", directory)
    # A machine with systemd-resolved would ask that one, which sees the real world.
    _hide(Path("/etc/nsswitch.conf"), NSSWITCH, directory)
    _hide_syslog(directory)


def _hide(path: Path, text: str, directory: Path) -> None:
    ours = directory / path.name
    ours.write_text(text)
    _run("mount", "--bind", ours, path)


def _hide_syslog(directory: Path) -> None:
    """Make room for a /dev/log of our own; the machine's must not hear of it."""
    devices = directory / "dev"
    devices.mkdir()
    _run("mount", "--rbind", "/dev", devices)
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "alignd-lab", "/dev")
    for device in devices.iterdir():
        if device.name != "log":
            Path("/dev", device.name).symlink_to(device)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def _succeed(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
