"""Servers on Unix sockets that Postfix may connect to."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def run_unix_server(
    path: Path, session: type[socketserver.StreamRequestHandler]
) -> Iterator[None]:
    """Listen at *path*, and let *session* handle each connection in a thread of its own."""
    with _Server(str(path), session) as server:
        path.chmod(0o666)  # Postfix connects as a user of its own
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
