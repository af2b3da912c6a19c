"""A private Postfix: own configuration, queue and ports, nothing left behind."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from alignd.postfix.config import version_number
from tests.lab import cast
from tests.lab.evidence import end_of, heard
from tests.lab.processes import StartError, session_members
from tests.lab.readiness import (
    PATIENCE,
    accepts,
    free_ports,
    open_directory,
    wait_for_line,
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
mydestination =
local_recipient_maps =
local_transport = error:nothing is local here
smtpd_tls_security_level = none
smtp_tls_security_level = none
milter_default_action = tempfail
"""

TAKES_ALL = """\
notify_classes =
biff = no
inet_protocols = all
mynetworks = 0.0.0.0/0, [::]/0
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
in_flow_delay = 0

smtp_dns_support_level = disabled
"""
"""The lines of a main.cf that takes mail from everybody, and does to it what Postfix does."""

_RELAY = """myhostname = {hostname}
inet_interfaces = 127.0.0.1
relayhost = [127.0.0.1]:{port}
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
virtual unix - n n - - virtual
discard unix - - n - - discard
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
showq unix n - n - - showq
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that takes mail, with its smtpd_milters, "" for none."""

    address: str
    port: int
    milters: str = ""

    def service(self) -> str:
        """Return the entry of master.cf."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return (
            f"{address}:{self.port} inet n - n - - smtpd\n"
            f"  -o {{ smtpd_milters = {self.milters} }}\n"
        )


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What Postfix logged about the only recipient of a message."""

    status: str
    answer: str

    @property
    def next_queue_id(self) -> str | None:
        """The queue id that the receiving Postfix gave, if it took the message."""
        match = re.search(r"queued as (\w+)", self.answer)
        return match and match[1]


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix; *ports* has the port of each listener by its name, where it has one."""

    directory: Path
    ports: Mapping[str, int] = field(default_factory=dict)

    def log(self) -> str:
        """Return what this Postfix has logged so far."""
        path = self._log_path
        return path.read_text(errors="replace") if path.exists() else ""

    def log_lines(self, text: str) -> tuple[str, ...]:
        """Return the lines of the log that contain *text*."""
        return tuple(line for line in self.log().splitlines() if text in line)

    def wait_for_delivery(self, queue_id: str) -> DeliveryStatus:
        """Wait until the message was sent on, bounced or deferred."""
        line = rf": {queue_id}: to=<.*?status=(\w+) \((.*)\)$"
        found = wait_for_line(self._log_path, line, f"the delivery of {queue_id}")
        return DeliveryStatus(found[1], found[2])

    def wait_for_line(self, pattern: re.Pattern[str], queue_id: str) -> str:
        """Wait for a line of the log about a message; return the last group of *pattern*."""

        def find() -> str | None:
            lines = (pattern.search(line) for line in self.log_lines(queue_id))
            return next((str(found[found.re.groups]) for found in lines if found), None)

        return wait_until(find, f"a line about {queue_id}")

    def evidence(self) -> str:
        """What explains a message that did not arrive: the queue and the log."""
        asked = ["postqueue", "-c", str(self.directory / "etc"), "-j"]
        queue = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        return f"Postfix's queue: {queue.stdout}{queue.stderr}\nits log:\n{end_of(self.log())}"

    def has_delivered(self) -> bool:
        """Whether no message is left in its queue."""
        queues = ("maildrop", "incoming", "active", "deferred")
        return not any(
            files for name in queues for _, _, files in os.walk(self.directory / "queue" / name)
        )

    @property
    def _log_path(self) -> Path:
        return self.directory / "mail.log"


def obstacle() -> str | None:
    """Say why no private Postfix can run here, or None."""
    if os.geteuid() != 0:
        return "a private Postfix needs root"
    if shutil.which("postfix") is None:
        return "Postfix is not installed"
    return None


def version() -> tuple[int, ...]:
    """Of the Postfix that is installed; empty if none is."""
    if shutil.which("postconf") is None:
        return ()
    command = ["postconf", "-dh", "mail_version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return version_number(done.stdout)


@contextmanager
def run_relay(
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
    services = "".join(
        Listener("127.0.0.1", port, milters[name]).service() for name, port in ports.items()
    )
    with run_relay_services(
        services, ports, relay_port, settings=settings, parent=parent
    ) as postfix:
        yield postfix


@contextmanager
def run_relay_services(
    services: str,
    ports: Mapping[str, int],
    relay_port: int,
    *,
    settings: str = "",
    parent: Path | None = None,
) -> Iterator[Postfix]:
    """Run such a Postfix with these *services* (master.cf), which listen on *ports*, as well.

    The lines of *settings* (main.cf) come last; its files are below *parent*.
    """
    with open_directory(parent) as directory:
        postfix = Postfix(directory, ports)
        configure_relay(directory, services, settings, relay_port)
        with _running(postfix, [("127.0.0.1", port) for port in ports.values()]):
            yield postfix


@contextmanager
def run_postfix(
    directory: Path,
    settings: str,
    listeners: Sequence[Listener],
    tables: Mapping[str, str] | None = None,
) -> Iterator[Postfix]:
    """Run a Postfix with *settings* (main.cf) below *directory*, which it makes and leaves.

    *tables* have the texts of files beside main.cf, by their names; postmap(1) makes those that
    it calls hash.
    """
    directory.mkdir()
    postfix = Postfix(directory)
    _configure(directory, settings, "".join(listener.service() for listener in listeners))
    for name, text in (tables or {}).items():
        path = directory / "etc" / name
        path.write_text(text)
        if f"hash:$config_directory/{name}" in settings:
            subprocess.run(["postmap", "-c", path.parent, f"hash:{path}"], check=True)
    with _running(postfix, [(listener.address, listener.port) for listener in listeners]):
        yield postfix


def configure_relay(
    directory: Path, services: str, settings: str = "", relay_port: int = 25
) -> None:
    """Write what a relay below *directory* needs, its configuration in `etc`; start nothing."""
    relay = _RELAY.format(hostname=cast.RELAY, port=relay_port)
    _configure(directory, TAKES_ALL + relay + settings, services)


def _configure(directory: Path, settings: str, services: str) -> None:
    for name in ("etc", "queue", "data"):
        (directory / name).mkdir(exist_ok=True)
    shutil.chown(directory / "data", "postfix")
    main = _last_of_each(_MAIN.format(directory=directory) + settings)
    (directory / "etc/main.cf").write_text(main)
    (directory / "etc/master.cf").write_text(_MASTER + services)


def _last_of_each(settings: str) -> str:
    """Drop settings that are set again further down.

    Each process of Postfix logs a warning of those when it starts, and postlogd, which starts as
    one of them, waits for itself where ten lines wait for it already: all hang (measured, with
    net.unix.max_dgram_qlen at its default of 10).
    """
    # A line that begins with a blank goes on with the one before.
    logical = re.split(r"\n(?![ \t])", settings)
    last = {line.partition("=")[0].strip(): line for line in logical if not line.startswith("#")}
    return "".join(f"{line}\n" for line in last.values() if line)


@contextmanager
def _running(postfix: Postfix, endpoints: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Run the master in the foreground and in a session of its own, to know all its children."""
    command = ["postfix", "-c", str(postfix.directory / "etc")]
    with (postfix.directory / "out.log").open("wb") as out:
        master = subprocess.Popen(
            [*command, "start-fg"], stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_until(lambda: _listens(postfix, master, endpoints), "Postfix to listen")
        with heard(postfix):
            yield
    finally:
        stopped = subprocess.run([*command, "stop"], capture_output=True, timeout=60, check=False)
        try:
            _end(master)
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            error.add_note(f"postfix stop: {stopped}\n{postfix.log()}")
            raise


def _listens(
    postfix: Postfix, master: subprocess.Popen[bytes], endpoints: Sequence[tuple[str, int]]
) -> bool:
    if master.poll() is not None:
        said = (postfix.directory / "out.log").read_text(errors="replace")
        raise StartError(f"Postfix did not start:\n{said}{postfix.log()}")
    return all(map(accepts, endpoints))


def _end(master: subprocess.Popen[bytes]) -> None:
    """Wait until nothing of this Postfix is left, and raise when something had to be killed."""
    try:
        master.wait(timeout=PATIENCE)
        wait_until(lambda: not session_members(master.pid), "the processes of Postfix to end")
    except (subprocess.TimeoutExpired, TimeoutError):
        for process in session_members(master.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        master.wait()
        raise
