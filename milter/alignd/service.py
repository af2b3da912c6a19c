"""The life of the process: start, readiness, signals, and an end that loses no message."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sdnotify

from alignd import bridge
from alignd.collected import Interest
from alignd.dkim import Signer
from alignd.freemail import FreemailDomains
from alignd.journal import Journal
from alignd.resolver import Resolver
from alignd.review import Reviewer
from alignd.settings import Configuration
from alignd.suffixes import SuffixList

DRAIN_SECONDS = 45.0
"""How long open sessions may take to end after TERM; then the MTA keeps what it has (451)."""
_POLL_SECONDS = 0.05


def serve(configuration: Configuration, signer: Signer, journal: Journal) -> int:
    """Serve until TERM or INT, let open sessions end, and return the exit status.

    Raises:
        ResolverError: there is no nameserver to ask.
        ListenError: the socket cannot be opened.
    """
    reviewer = Reviewer(configuration, SuffixList(), signer, FreemailDomains(), time.time)
    desk = bridge.Desk(
        reviewer,
        Resolver(configuration.dns).for_message,
        journal,
        Interest(reviewer.needs_whole_message, reviewer.fields_of_interest),
    )
    ending, hang_up = threading.Event(), threading.Event()
    _handle_signals(ending, hang_up)
    with _open_to_all():
        bridge.listen(configuration.milter.socket, desk)
    thread = threading.Thread(target=bridge.serve, name="libmilter", daemon=True)
    thread.start()
    notifier = sdnotify.SystemdNotifier()
    notifier.notify("READY=1")
    journal.service("ready", socket=configuration.milter.socket)
    while not ending.wait(1.0):
        if hang_up.is_set():
            hang_up.clear()
            journal.service("HUP ignored: restart to load a changed configuration")
        if not thread.is_alive():
            journal.service("libmilter ended by itself")
            return os.EX_SOFTWARE
    notifier.notify("STOPPING=1")
    _stop_listening(_listening_sockets())
    left = _drain()
    journal.service("stopped", open_sessions=left)
    return os.EX_OK


def _handle_signals(ending: threading.Event, hang_up: threading.Event) -> None:
    # A handler interrupts the main thread anywhere, and so must not take a lock: no log here.
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    signal.signal(signal.SIGINT, lambda *_: ending.set())
    signal.signal(signal.SIGHUP, lambda *_: hang_up.set())


@contextmanager
def _open_to_all() -> Iterator[None]:
    """Lets Postfix, which runs as another user, connect to a unix socket made meanwhile."""
    before = os.umask(0o111)
    try:
        yield
    finally:
        os.umask(before)


def _listening_sockets() -> set[int]:
    """The descriptors of this process that accept connections."""
    found = set()
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as copy:
                if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(number)
        except OSError:
            continue  # the directory's own descriptor, closed by now
    return found


def _stop_listening(descriptors: set[int]) -> None:
    # libmilter has no call for this that leaves open sessions alone (measured): put a socket
    # that nobody knows in place of the one that it listens on.
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind("")  # an abstract name that the kernel picks
        nobody.listen()
        for descriptor in descriptors:
            os.dup2(nobody.fileno(), descriptor)


def _drain() -> int:
    """Wait until all sessions have ended or time is up; how many are still open."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while (left := bridge.open_sessions()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return left
