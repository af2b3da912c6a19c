"""Responsible for a private Postfix: own configuration, queue and ports, nothing left behind."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.readiness import (
    free_ports,
    listens,
    open_directory,
    session_members,
    wait_until,
)

_MAIN = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
alias_maps =
alias_database =
notify_classes =
biff = no

myhostname = smtp2.easyredmine.com
mydestination =
local_recipient_maps =
local_transport = error:nothing is local here
inet_interfaces = 127.0.0.1
inet_protocols = all
mynetworks = 0.0.0.0/0, [::]/0
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
# Postfix completes and rewrites the header for a client that is local, as all are here.
local_header_rewrite_clients =

smtputf8_enable = yes
disable_mime_output_conversion = yes
message_size_limit = 104857600
mailbox_size_limit = 0
header_size_limit = 10485760
smtp_line_length_limit = 0

milter_default_action = tempfail

relayhost = [127.0.0.1]:{relay_port}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtp_destination_recipient_limit = 1000
"""

_MASTER = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
discard unix - - n - - discard
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
showq unix n - n - - showq
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_LISTENER = "127.0.0.1:{port} inet n - n - - smtpd\n -o {{ smtpd_milters = {milters} }}\n"


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix; *ports* has the port of each listener by its name."""

    directory: Path
    ports: Mapping[str, int]

    def log(self) -> str:
        """Return what this Postfix has logged so far."""
        path = self.directory / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def has_delivered(self) -> bool:
        """Whether no message is left in its queue."""
        queues = ("maildrop", "incoming", "active", "deferred")
        return not any(
            files for name in queues for _, _, files in os.walk(self.directory / "queue" / name)
        )

    def flush(self) -> None:
        """Have it try at once to deliver all that waits."""
        subprocess.run(["postqueue", "-c", str(self.directory / "etc"), "-f"], check=True)


def obstacle() -> str | None:
    """Say why no private Postfix can run here, or None."""
    if os.geteuid() != 0:
        return "a private Postfix needs root"
    if shutil.which("postfix") is None:
        return "Postfix is not installed"
    return None


@contextmanager
def run_postfix(
    milters: Mapping[str, str],
    relay_port: int,
    *,
    settings: str = "",
    parent: Path | None = None,
) -> Iterator[Postfix]:
    """Run a Postfix that relays everything to *relay_port* of 127.0.0.1.

    *milters* maps the name of each smtpd listener to its smtpd_milters, "" for none.
    """
    ports = dict(zip(milters, free_ports(len(milters)), strict=True))
    listeners = (
        _LISTENER.format(port=port, milters=milters[name]) for name, port in ports.items()
    )
    with run_services(
        "".join(listeners), ports, relay_port, settings=settings, parent=parent
    ) as postfix:
        yield postfix


@contextmanager
def run_services(
    services: str,
    ports: Mapping[str, int],
    relay_port: int,
    *,
    settings: str = "",
    parent: Path | None = None,
) -> Iterator[Postfix]:
    """Run a Postfix with these *services* (master.cf), which listen on *ports*, as well.

    The lines of *settings* (main.cf) come after those of all tests; its files are below *parent*.
    """
    with open_directory(parent) as directory:
        postfix = Postfix(directory, ports)
        configure(directory, services, settings, relay_port)
        with _started(postfix) as master:
            wait_until(lambda: _listens(postfix, master), "Postfix to listen")
            yield postfix


def configure(directory: Path, services: str, settings: str = "", relay_port: int = 25) -> None:
    """Write what a Postfix below *directory* needs, its configuration in `etc`; start nothing."""
    common = _MAIN.format(directory=directory, relay_port=relay_port)
    for name in ("etc", "queue", "data"):
        (directory / name).mkdir(exist_ok=True)
    shutil.chown(directory / "data", "postfix")
    (directory / "etc/main.cf").write_text(common + settings)
    (directory / "etc/master.cf").write_text(_MASTER + services)


@contextmanager
def _started(postfix: Postfix) -> Iterator[subprocess.Popen[bytes]]:
    """Run the master in the foreground and in a session of its own, to know all its children."""
    command = ["postfix", "-c", str(postfix.directory / "etc")]
    with (postfix.directory / "out.log").open("wb") as out:
        master = subprocess.Popen(
            [*command, "start-fg"], stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield master
    finally:
        subprocess.run([*command, "stop"], capture_output=True, timeout=60, check=False)
        _end(master)


def _listens(postfix: Postfix, master: subprocess.Popen[bytes]) -> bool:
    if master.poll() is not None:
        said = (postfix.directory / "out.log").read_text(errors="replace")
        raise RuntimeError(f"Postfix did not start:\n{said}{postfix.log()}")
    return all(map(listens, postfix.ports.values()))


def _end(master: subprocess.Popen[bytes]) -> None:
    """Wait until nothing of this Postfix is left, and raise when something had to be killed."""
    try:
        master.wait(timeout=10)
        wait_until(lambda: not session_members(master.pid), "the processes of Postfix to end")
    except (subprocess.TimeoutExpired, TimeoutError):
        for process in session_members(master.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        master.wait()
        raise
