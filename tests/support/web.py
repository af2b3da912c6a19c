"""The real `alignd web`: started on a ledger with the story in it, and asked over HTTP."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alignd.ledger.window.server import WindowServer
from alignd.service.unix_listener import listen_at
from tests.lab.alignd import Notices
from tests.lab.ledger_rows import REWRITTEN, STORY, Mail, new_ledger
from tests.lab.readiness import PATIENCE, free_ports, wait_until
from tests.lab.settings import configuration

KEYS = f"sign {'6b' * 32}\n"
"""Those that sign links."""
HOSTILE = "<script>alert(1)</script>.example"
"""A domain in the ledger."""
SHARE_HOST = "dns-help.example"
LIMIT = 25.0
"""Seconds, for what the page ends after ten."""


@dataclass(frozen=True)
class Web:
    """A running page."""

    process: subprocess.Popen[bytes]
    port: int
    share_port: int
    log_path: Path
    notices: Notices

    def log(self) -> str:
        return self.log_path.read_text()

    def ask(
        self, path: str, method: str = "GET", *, share: bool = False, **fields: str
    ) -> tuple[http.client.HTTPResponse, str]:
        """An answer, and its text. *fields* have "_" for "-"."""
        port = self.share_port if share else self.port
        headers = {"Host": SHARE_HOST} if share else {}
        headers |= {name.replace("_", "-"): value for name, value in fields.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as peer:
            peer.request(method, path, headers=headers)
            answer = peer.getresponse()
            return answer, answer.read().decode()

    def send(self, octets: bytes, *, share: bool = False) -> bytes:
        """What comes back until the connection is closed."""
        with closing(self.connect(share=share)) as peer:
            with suppress(OSError):
                peer.sendall(octets)
            return read_all(peer)

    def connect(self, *, share: bool = False) -> socket.socket:
        port = self.share_port if share else self.port
        return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


def read_all(peer: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionResetError):
        while some := peer.recv(65_536):
            found += some
    return found


@contextmanager
def run_window(
    directory: Path, more: Sequence[Mail] = (), count: Callable[[str], None] = lambda _: None
) -> Iterator[Path]:
    """A ledger of the story and *more*, and a window on it, which tells *count* what came."""
    url, path = f"sqlite:///{directory / 'ledger.sqlite'}", directory / "window.sock"
    now = time.time()
    new_ledger(url, [*STORY, Mail(HOSTILE, REWRITTEN, 3), *more], now)
    ended = threading.Event()
    server = WindowServer(url, lambda: listen_at(str(path), 0o660), count, lambda _: None)
    thread = threading.Thread(target=server.run, args=(ended,))
    thread.start()
    try:
        wait_until(path.exists, "the window")
        yield path
    finally:
        ended.set()
        thread.join()


@contextmanager
def run_web(
    directory: Path,
    window: Path,
    under: Sequence[str] = (),
    *,
    options: str = "",
    nameserver: str = "127.0.0.1:53",
) -> Iterator[Web]:
    """Run `alignd web`, behind the words *under*, on the ledger at *window*.

    *options* are more lines of its part of the configuration.
    """
    port, share_port = free_ports(2)
    keys = directory / "share.keys"
    keys.write_text(KEYS)
    keys.chmod(0o600)
    config = directory / "alignd.conf"
    config.write_text(
        configuration(
            f"""\
ledger.window = "unix:{window}"
[web]
listen = "127.0.0.1:{port}"
share_listen = "127.0.0.1:{share_port}"
share_url = "https://{SHARE_HOST}"
share_keys = "{keys}"
revoked = "{directory}/revoked"
{options}
""",
            nameserver=nameserver,
        )
    )
    notices, log_path = Notices(directory / "notify"), directory / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*under, sys.executable, "-m", "alignd", "web", "--config", str(config)],
            stdout=log,
            stderr=log,
            env=os.environ | {"NOTIFY_SOCKET": str(directory / "notify")},
        )
    web = Web(process, port, share_port, log_path, notices)
    try:
        wait_until(lambda: notices.take("READY=1") or process.poll() is not None, "the page")
        assert process.poll() is None, web.log()
        yield web
    finally:
        process.kill()
        process.wait()
        notices.close()
