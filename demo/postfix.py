"""Runs a private Postfix, with everything it writes below one directory, and reads its log."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.process import NotReadyError, wait_for

# name, type, private, unprivileged, chroot, wakeup, processes, command
SERVICES = """\
cleanup    unix       n  -  n  -     0  cleanup
qmgr       unix       n  -  n  300   1  qmgr
rewrite    unix       -  -  n  -     -  trivial-rewrite
bounce     unix       -  -  n  -     0  bounce
defer      unix       -  -  n  -     0  bounce
trace      unix       -  -  n  -     0  bounce
proxymap   unix       -  -  n  -     -  proxymap
smtp       unix       -  -  n  -     -  smtp
error      unix       -  -  n  -     -  error
retry      unix       -  -  n  -     -  error
virtual    unix       -  n  n  -     -  virtual
anvil      unix       -  -  n  -     1  anvil
postlog    unix-dgram n  -  n  -     1  postlogd
"""

SETTINGS = {
    "compatibility_level": "3.6",
    "mydestination": "",
    "local_transport": "error:no mailboxes here",
    "local_recipient_maps": "",
    "alias_maps": "",
    "smtpd_tls_security_level": "none",
    "smtp_tls_security_level": "none",
    "milter_default_action": "tempfail",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that takes mail, with the milters that see it in this order."""

    address: str
    port: int
    milters: Sequence[Path]

    def service(self) -> str:
        """Return the entry of master.cf."""
        milters = ", ".join(f"unix:{endpoint}" for endpoint in self.milters)
        return (
            f"{self.address}:{self.port} inet n - n - - smtpd\n"
            f"  -o {{ smtpd_milters = {milters} }}\n"
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """What Postfix logged about the only recipient of a message."""

    status: str
    answer: str

    @property
    def next_queue_id(self) -> str | None:
        """The queue id that the receiving Postfix gave, if it took the message."""
        match = re.search(r"queued as (\w+)", self.answer)
        return match and match[1]


class Postfix:
    """A Postfix below *directory*, which has to be readable for everybody."""

    def __init__(self, directory: Path) -> None:
        self._configuration = directory / "etc"
        self._queue = directory / "queue"
        self._data = directory / "data"
        self.mail_log = directory / "mail.log"

    def start(self, settings: Mapping[str, str], listeners: Sequence[Listener]) -> None:
        """Configure and start it; its listeners accept connections on return."""
        for directory in (self._configuration, self._queue, self._data):
            directory.mkdir(parents=True)
        shutil.chown(self._data, "postfix")
        places = {
            "queue_directory": str(self._queue),
            "data_directory": str(self._data),
            "maillog_file": str(self.mail_log),
            "maillog_file_prefixes": str(self.mail_log.parent),
        }
        lines = [f"{name} = {text}\n" for name, text in {**SETTINGS, **places, **settings}.items()]
        (self._configuration / "main.cf").write_text("".join(lines))
        services = SERVICES + "".join(listener.service() for listener in listeners)
        (self._configuration / "master.cf").write_text(services)
        command = ["postfix", "-c", str(self._configuration), "start"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise NotReadyError(f"Postfix: {result.stderr}{''.join(self.log_lines(''))}")

    def log_lines(self, text: str) -> tuple[str, ...]:
        """Return the lines of the mail log that contain *text*."""
        if not self.mail_log.exists():
            return ()
        lines = self.mail_log.read_text(errors="replace").splitlines()
        return tuple(line for line in lines if text in line)

    def wait_for_delivery(self, queue_id: str) -> Delivery:
        """Wait until the message was sent on, bounced or deferred."""
        return wait_for(lambda: self._delivery(queue_id), f"delivery of {queue_id}")

    def _delivery(self, queue_id: str) -> Delivery | None:
        for line in self.log_lines(f": {queue_id}: to=<"):
            if match := re.search(r"status=(\w+) \((.*)\)$", line):
                return Delivery(match[1], match[2])
        return None
