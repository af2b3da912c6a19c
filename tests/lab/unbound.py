"""Responsible for a real DNS server: unbound, which serves a zone as if it were the root."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.daemons import UNBOUND
from tests.lab.readiness import free_ports, listens, open_directory, wait_until


def obstacle() -> str | None:
    """Say why no unbound can run here, or None."""
    return None if _program() else "unbound is not installed"


@contextmanager
def run_unbound(zone: str, port: int = 0) -> Iterator[int]:
    """Run an unbound that asks nobody else, and return its *port* on 127.0.0.1; 0 is any."""
    port = port or free_ports(1)[0]
    with open_directory() as directory:
        zone_file = directory / "root.zone"
        zone_file.write_text(zone)
        config = UNBOUND.format(directory=directory, nameserver="127.0.0.1", zone=zone_file)
        (directory / "unbound.conf").write_text(f"{config}server:\n  port: {port}\n")
        # A copy: Debian's AppArmor profile keeps /usr/sbin/unbound away from our files.
        program = shutil.copy(_program() or "unbound", directory / "unbound")
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "-d", "-c", directory / "unbound.conf"], stdout=log, stderr=log
            )
        try:
            wait_until(lambda: _listens(port, process, directory), "unbound to listen")
            yield port
        finally:
            process.kill()
            process.wait()


def _program() -> str | None:
    # Not every user has /usr/sbin in PATH.
    return shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")


def _listens(port: int, process: subprocess.Popen[bytes], directory: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"unbound ended at once:\n{(directory / 'log').read_text()}")
    return listens(port)
