"""As much of a Dovecot as Postfix wants to see before it believes in logins."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.unix_server import run_unix_server

_GREETING = b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t1\nDONE\n"


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(_GREETING)
        self.rfile.read()  # nobody logs in here: XCLIENT says who did


@contextmanager
def run_login_service(directory: Path) -> Iterator[str]:
    """Run it, and give the main.cf lines that make Postfix use it."""
    path = directory / "auth.sock"
    with run_unix_server(path, _Session):
        yield f"smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {path}\n"
