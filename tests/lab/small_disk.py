"""A file system in memory, small enough to be filled, for those that are started in its mounts."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MOUNTED = 'mount -t tmpfs -o "$1" small "$0" && echo && exec cat'
_OCTETS = bytes(2**16)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """The file system at *path*, as those see it who are *under* it."""

    path: Path
    under: tuple[str, ...]
    """Words before a command that is to see it."""
    _outside: Path
    """Where everybody else finds it."""

    def fill(self) -> None:
        """Leave no octet of it free."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while filler.write(_OCTETS):
                    pass
            except OSError:  # it is full
                return

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink()

    @property
    def _filler(self) -> Path:
        return self._outside / "filler"


@contextmanager
def run_small_disk(path: Path, megabytes: int, user: str) -> Iterator[SmallDisk]:
    """Mount one of that many MiB at *path*, an empty directory, which is the *user*'s.

    The mount is in a namespace, which ends with the block and all that was started in it.
    """
    options = f"size={megabytes}m,uid={user},gid={user},mode=700"
    held = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--mount", "--"]
    command = [*held, "sh", "-c", _MOUNTED, str(path), options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        if not holder.stdout.readline():
            raise RuntimeError(f"{path}: no file system could be mounted")
        process = f"/proc/{holder.pid}"
        under = ("nsenter", f"--mount={process}/ns/mnt", "--")
        try:
            yield SmallDisk(path, under, Path(f"{process}/root{path}"))
        finally:
            holder.kill()
