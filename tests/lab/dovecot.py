"""A real IMAP server: Dovecot, with one user whose mail lies in a Maildir."""

import os
import select
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.processes import run_daemon
from tests.lab.readiness import PATIENCE, accepts, free_ports, open_directory

USER, PASSWORD = "reports", "correct-horse"
_NOBODY = 65_534

_CONFIGURATION = """\
protocols = imap
listen = 127.0.0.1
base_dir = {directory}/run
state_dir = {directory}/state
log_path = /dev/stderr
ssl = yes
ssl_cert = <{directory}/certificate
ssl_key = <{directory}/key
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{directory}/mail
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home={directory}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {encrypted}
    ssl = yes
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """A running server."""

    plain: int
    """The port without TLS."""
    encrypted: int
    maildir: Path
    certificate: Path

    @property
    def context(self) -> ssl.SSLContext:
        """What trusts its certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def deliver(self, name: str, message: bytes) -> None:
        """Put *message* into the inbox, as a delivery agent does."""
        path = self.maildir / "new" / name
        path.write_bytes(message)
        os.chown(path, _NOBODY, _NOBODY)

    def names(self, folder: str = "") -> list[str]:
        """The names of the messages in a folder, with their flags."""
        found = [(self.maildir / folder / part) for part in ("cur", "new")]
        return sorted(each.name for part in found if part.is_dir() for each in part.iterdir())


def obstacle() -> str | None:
    """Say why no Dovecot can run here, or None."""
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return "Dovecot is not installed"
    if os.geteuid():
        return "Dovecot needs root"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return None if said.stdout.startswith("2.3.") else "its configuration is for Dovecot 2.3"


@contextmanager
def run_dovecot() -> Iterator[Dovecot]:
    """Run a Dovecot with an empty inbox."""
    with open_directory() as directory:
        plain, encrypted = free_ports(2)
        _make_certificate(directory)
        maildir = directory / "mail"
        for folder in ("", "cur", "new", "tmp"):
            (maildir / folder).mkdir()
            os.chown(maildir / folder, _NOBODY, _NOBODY)
        configuration = directory / "dovecot.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                password=PASSWORD,
                nobody=_NOBODY,
                plain=plain,
                encrypted=encrypted,
            )
        )
        command = [shutil.which("dovecot") or "/usr/sbin/dovecot", "-F", "-c", str(configuration)]
        with run_daemon(command, directory / "log", lambda: accepts(("127.0.0.1", plain))):
            yield Dovecot(plain, encrypted, maildir, directory / "certificate")


@contextmanager
def wire_that_breaks(target: int, before: bytes) -> Iterator[int]:
    """The port of a wire to *target* that breaks when a client sends *before*; for one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_forward, args=(listener, target, before))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _forward(listener: socket.socket, target: int, before: bytes) -> None:
    with suppress(OSError):
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", target), PATIENCE) as server:
            while ready := select.select([client, server], [], [], PATIENCE)[0]:
                for end, other in ((server, client), (client, server)):
                    if end in ready:
                        octets = end.recv(65_536)
                        if not octets or (end is client and before in octets):
                            return
                        other.sendall(octets)


def _make_certificate(directory: Path) -> None:
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(directory / "key"), "-out", str(directory / "certificate")),
    ]
    subprocess.run(command, capture_output=True, check=True)
