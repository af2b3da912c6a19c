"""Responsible for a real DNS server: unbound, which serves a zone as if it were the root."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.readiness import free_ports, listens, open_directory, wait_until

_CONFIG = """\
server:
  directory: "{directory}"
  chroot: ""
  username: ""
  pidfile: ""
  interface: 127.0.0.1
  port: {port}
  access-control: 127.0.0.0/8 allow
  use-syslog: no
  do-ip6: no
  module-config: "iterator"
  unblock-lan-zones: yes
auth-zone:
  name: "."
  zonefile: "{directory}/root.zone"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
remote-control:
  control-enable: no
"""


def obstacle() -> str | None:
    """Say why no unbound can run here, or None."""
    return None if _program() else "unbound is not installed"


@contextmanager
def run_unbound(zone: str) -> Iterator[int]:
    """Run an unbound that asks nobody else, and return its port on 127.0.0.1."""
    (port,) = free_ports(1)
    with open_directory() as directory:
        (directory / "root.zone").write_text(zone)
        (directory / "unbound.conf").write_text(_CONFIG.format(directory=directory, port=port))
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
