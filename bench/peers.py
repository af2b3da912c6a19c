"""The milters beside alignd: each with its own defaults, as far as they can be kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import rspamd
from tests.lab.processes import StartError, start_daemon
from tests.lab.readiness import Endpoint, accepts

EMPTY, KEPT = "empty pymilter", "empty pymilter, kept to cores"
OPENDMARC, PYSPF, PYDMARC = "opendmarc", "pyspf-milter", "pydmarc's milter"
RSPAMD, BARE = "rspamd without modules", "rspamd without modules and rules"

# Both leave mail from loopback alone by default, where Postfix of the benchmark has it from.
_NOBODY = "203.0.113.1"
_OPENDMARC = """\
Background false
Syslog true
Socket local:{socket}
AuthservID smtp2.easyredmine.com
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
IgnoreHosts {ignored}
"""
# As Debian has it: what takes part in rspamd.conf and common.conf, but for the modules.
_RSPAMD = (
    "options {{\n"
    '  .include "$CONFDIR/options.inc"\n'
    + rspamd.FILES
    + """\
  dynamic_conf = "{directory}/dynamic";
  rrd = "{directory}/rrd";
  filters = "";
  dns {{ nameserver = ["127.0.0.1:53:1"]; }}
}}
logging {{
  type = "file";
  filename = "{directory}/log";
  .include "$CONFDIR/logging.inc"
}}
worker "normal" {{
  bind_socket = "127.0.0.1:11333";
  .include "$CONFDIR/worker-normal.inc"
}}
worker "rspamd_proxy" {{
  bind_socket = "{socket} mode=0666";
  .include "$CONFDIR/worker-proxy.inc"
}}
lua = "$RULESDIR/rspamd.lua"
.include "$CONFDIR/metrics.conf"
.include "$CONFDIR/actions.conf"
.include "$CONFDIR/groups.conf"
.include "$CONFDIR/composites.conf"
.include "$CONFDIR/statistic.conf"
.include "$CONFDIR/settings.conf"
modules {{ path = "${{PLUGINSDIR}}"; }}
"""
)
_BARE = (
    "options {{\n"
    + rspamd.FILES
    + """\
  filters = "";
  dns {{ nameserver = ["127.0.0.1:53:1"]; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "rspamd_proxy" {{
  bind_socket = "{socket} mode=0666";
  milter = yes;
  timeout = 120s;
  upstream "local" {{ default = yes; self_scan = yes; }}
  count = {workers};
}}
"""
)
_PYSPF = """\
debugLevel = 1
TestOnly = 1
HELO_reject = False
Mail_From_reject = False
PermError_reject = False
TempError_Defer = False
skip_addresses = {ignored}/32
Socket = local:{socket}
PidFile = {directory}/pid
UserID = root
InternalHosts = {ignored}
"""
_PYDMARC_PORT = 8898

_Command = Sequence[str | Path]


class MissingError(Exception):
    """A peer is not here, or does not start; the text says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A milter that serves, until the namespace of the benchmark ends."""

    name: str
    socket: str
    """unix:PATH or inet:PORT."""


def start_empty(directory: Path, workers: int) -> Peer:
    """Start the yardstick."""
    return _start_empty(EMPTY, directory / "empty.sock", workers)


def start_kept(directory: Path, workers: int) -> Peer:
    """Start a yardstick whose workers keep to one core each, as those of alignd do."""
    return _start_empty(KEPT, directory / "kept.sock", workers, "--keep-to-cores")


def _start_empty(name: str, path: Path, workers: int, *options: str) -> Peer:
    command = [sys.executable, "-m", "bench.empty", f"unix:{path}", str(workers), *options]
    return _start(name, command, path.parent, path)


def start_opendmarc(directory: Path, _workers: int) -> Peer:
    """Start OpenDMARC, which has one process."""
    path = directory / "opendmarc.sock"
    ignored = _write(directory / "opendmarc.ignored", f"{_NOBODY}\n")
    text = _OPENDMARC.format(socket=path, ignored=ignored)
    configuration = _write(directory / "opendmarc.conf", text)
    command: _Command = ["opendmarc", "-f", "-c", configuration]
    return _start(OPENDMARC, command, directory, path)


def start_rspamd(directory: Path, _workers: int) -> Peer:
    """Start rspamd with the processes that Debian gives it: a proxy, and one that scans."""
    return _start_rspamd(RSPAMD, _RSPAMD, directory / "rspamd", 1)


def start_bare(directory: Path, workers: int) -> Peer:
    """Start rspamd as a milter that has nothing to look for, and no process to ask."""
    return _start_rspamd(BARE, _BARE, directory / "bare", workers)


def _start_rspamd(name: str, settings: str, own: Path, workers: int) -> Peer:
    path = own.with_suffix(".sock")
    own.mkdir()
    text = settings.format(directory=own, socket=path, workers=workers)
    command: _Command = ["rspamd", "-f", "-i", "-c", _write(own / "rspamd.conf", text)]
    return _start(name, command, own, path)


def start_pyspf(directory: Path, _workers: int) -> Peer:
    """Start pyspf-milter, which has one process."""
    path = directory / "pyspf.sock"
    text = _PYSPF.format(directory=directory, socket=path, ignored=_NOBODY)
    command: _Command = ["pyspf-milter", _write(directory / "pyspf.conf", text)]
    return _start(PYSPF, command, directory, path)


def start_pydmarc(directory: Path, _workers: int) -> Peer:
    """Start the milter of dmarc (PyPI), which has one process and listens on TCP only."""
    program = Path(sys.executable).with_name("dmarcmilter")
    port = str(_PYDMARC_PORT)
    command: _Command = [
        program,
        "--bind-host",
        "127.0.0.1",
        "--bind-port",
        port,
        "--log-level",
        "ERROR",
    ]
    return _start(PYDMARC, command, directory, _PYDMARC_PORT)


Start = Callable[[Path, int], Peer]
STARTS: tuple[Start, ...] = (
    start_opendmarc,
    start_rspamd,
    start_bare,
    start_pyspf,
    start_pydmarc,
)
"""The peers that may be missing."""


def _start(name: str, command: _Command, directory: Path, where: Path | int) -> Peer:
    if shutil.which(command[0]) is None:
        raise MissingError(f"{name}: {command[0]} is not installed")
    endpoint: Endpoint = where if isinstance(where, Path) else ("127.0.0.1", where)
    log = directory / f"{Path(command[0]).name}.log"
    try:
        start_daemon(command, log, lambda: accepts(endpoint))
    except (StartError, OSError) as error:
        first, *said = str(error).splitlines()
        raise MissingError(": ".join([name, first, *said[-1:]])) from error
    if isinstance(where, Path):
        where.chmod(0o666)  # Postfix is another user
        return Peer(name, f"unix:{where}")
    return Peer(name, f"inet:{where}")


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
