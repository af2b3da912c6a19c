"""A real DNS server: unbound, which serves a zone as if it were the root, or its own, or asks."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
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
  do-not-query-localhost: no
  unblock-lan-zones: yes
remote-control:
  control-enable: no
"""
_AUTH_ZONE = """\
auth-zone:
  name: "{name}"
  zonefile: "{file}"
  for-downstream: {for_downstream}
  for-upstream: yes
  fallback-enabled: no
"""


def obstacle() -> str | None:
    """Say why no unbound can run here, or None."""
    return None if _program() else "unbound is not installed"


@contextmanager
def run_unbound(
    zone: str, port: int = 0, *, address: str = "127.0.0.1", parent: Path | None = None
) -> Iterator[int]:
    """Run an unbound that asks nobody else, and return its *port*; 0 is any."""
    with _run(port or free_ports(1)[0], address, parent, {".": zone}) as own:
        yield own


@contextmanager
def run_authority(name: str, zone: str, port: int, address: str) -> Iterator[None]:
    """Run a server of the zone *name*, which answers with authority."""
    with _run(port, address, None, {name: zone}, for_downstream="yes"):
        yield


@contextmanager
def run_recursor(
    name: str, servers: Iterable[str], port: int, *, world: str = ""
) -> Iterator[int]:
    """Run an unbound that asks *servers*, at *port* of theirs, for names in *name*.

    It remembers the answers for as long as they say. For other names it has the zone *world*, and
    asks the Internet where there is none. Returns its own port.
    """
    addresses = "".join(f"  stub-addr: {server}@{port}\n" for server in servers)
    stub = f'stub-zone:\n  name: "{name}"\n{addresses}'
    zones = {".": ROOT_RECORDS + world} if world else {}
    with _run(free_ports(1)[0], "127.0.0.1", None, zones, more=stub) as own:
        yield own


@contextmanager
def _run(
    port: int,
    address: str,
    parent: Path | None,
    zones: Mapping[str, str],
    *,
    for_downstream: str = "no",
    more: str = "",
) -> Iterator[int]:
    with open_directory(parent) as directory:
        text = _CONFIGURATION.format(directory=directory, address=address, port=port)
        for number, (name, zone) in enumerate(zones.items()):
            file = directory / f"{number}.zone"
            file.write_text(zone)
            text += _AUTH_ZONE.format(name=name, file=file, for_downstream=for_downstream)
        configuration = directory / "unbound.conf"
        configuration.write_text(text + more)
        # A copy: Debian's AppArmor profile keeps /usr/sbin/unbound away from our files.
        program = shutil.copy(_program() or "unbound", directory / "unbound")
        command = [program, "-d", "-c", configuration]
        with run_daemon(command, directory / "unbound.log", lambda: accepts((address, port))):
            yield port


def _program() -> str | None:
    # Not every user has /usr/sbin in PATH.
    return shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")
