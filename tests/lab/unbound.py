"""A real DNS server: unbound, which serves a zone as if it were the root."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.processes import run_daemon
from tests.lab.readiness import accepts, free_ports, open_directory

ROOT_RECORDS = """\
. SOA ns. hostmaster. 1 3600 600 86400 300
. NS ns.
ns. A 127.0.0.1
"""
"""What a zone needs to be a root."""

_CONFIGURATION = """\
server:
  directory: "{directory}"
  chroot: ""
  username: ""
  pidfile: ""
  interface: {address}
  port: {port}
  access-control: 0.0.0.0/0 allow
  use-syslog: no
  do-ip6: no
  module-config: "iterator"
  unblock-lan-zones: yes
auth-zone:
  name: "."
  zonefile: "{zone}"
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
def run_unbound(
    zone: str, port: int = 0, *, address: str = "127.0.0.1", parent: Path | None = None
) -> Iterator[int]:
    """Run an unbound that asks nobody else, and return its *port*; 0 is any."""
    port = port or free_ports(1)[0]
    with open_directory(parent) as directory:
        zone_file, configuration = directory / "root.zone", directory / "unbound.conf"
        zone_file.write_text(zone)
        configuration.write_text(
            _CONFIGURATION.format(directory=directory, address=address, port=port, zone=zone_file)
        )
        # A copy: Debian's AppArmor profile keeps /usr/sbin/unbound away from our files.
        program = shutil.copy(_program() or "unbound", directory / "unbound")
        command = [program, "-d", "-c", configuration]
        with run_daemon(command, directory / "unbound.log", lambda: accepts((address, port))):
            yield port


def _program() -> str | None:
    # Not every user has /usr/sbin in PATH.
    return shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")
