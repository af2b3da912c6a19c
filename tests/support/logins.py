"""Responsible for as much of a Dovecot as Postfix wants to see before it believes in logins."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

_GREETING = b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t1\nDONE\n"


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(_GREETING)
        self.rfile.read()  # nobody logs in here: XCLIENT says who did


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def run_login_service(directory: Path) -> Iterator[str]:
    """Run it, and give the main.cf lines that make Postfix use it."""
    path = directory / "auth.sock"
    with _Server(str(path), _Session) as server:
        path.chmod(0o666)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {path}\n"
        finally:
            server.shutdown()
            thread.join()
