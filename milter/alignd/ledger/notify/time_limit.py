"""Limits the time that a connection may take as a whole."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cut_after(seconds: float, connected: socket.socket) -> Iterator[None]:
    """Cut the connection when the block takes longer; TimeoutError then.

    The timeout of a socket is that of one read: who sends an octet now and then has all night.
    """
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        with suppress(OSError):
            # Not the method of a TLS socket, which takes its state away from who reads just now.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if not is_cut.is_set():
            raise
        raise TimeoutError from error  # whatever a connection says that has gone
    finally:
        timer.cancel()
    if is_cut.is_set():  # also where the end of the stream passed for that of the response
        raise TimeoutError
