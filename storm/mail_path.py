"""The mail path of a storm: a relay in a shipped layout, alignd under systemd, DNS, a sink."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storm.accounts import Accounts
from storm.mail import Post
from tests.lab import cast
from tests.lab.layouts import SUBMISSION, run_layout
from tests.lab.load import Parcel, send_all
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.postfix import Postfix
from tests.lab.readiness import open_directory
from tests.lab.settings import configuration
from tests.lab.sink import Arrival, run_sink
from tests.lab.systemd import ORDINARY, Service, Surroundings, run_service

AS_SHIPPED = '[milter]\nworkers = 0\n[dns]\nmin_ttl = "5s"\nstale = "3d"\n'
"""The defaults, where the configuration of all tests has other values."""
MEMORY = Path("/dev/shm")  # a queue in memory spares the disk, and time
_ROOM_NEEDED = 2**30  # octets
_ON_THEIR_WAY = 500
"""Messages that may be under way before the load waits for the relay."""
_LINE = re.compile(r"^(\w+): action=(\S+) .*?\bms=([\d.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Logged:
    """The log line of one message."""

    queue_id: str
    action: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class MailPath:
    """What a storm has at hand."""

    directory: Path
    nameserver: Nameserver
    service: Service
    postfix: Postfix

    def logged(self, begin: int = 0, end: int | None = None) -> list[Logged]:
        """What alignd has logged of messages between two positions in its log."""
        text = self.service.log(begin, end)
        return [Logged(found[1], found[2], float(found[3])) for found in _LINE.finditer(text)]

    def log_position(self) -> int:
        """Where alignd's log ends now."""
        return self.service.log_path.stat().st_size

    def times_put_off(self) -> int:
        """How often Postfix was told to try again, and does."""
        return self.postfix.log().count(" status=deferred ")

    def send(
        self, post: Post, accounts: Accounts, numbers: range, *, rate: float | None = None
    ) -> None:
        """Send these messages, no more than *rate* a second, and enter them in the accounts."""
        started = time.monotonic()

        def enter(number: int, taken: bool) -> None:
            (accounts.accept if taken else accounts.refuse)(number)

        def parcels() -> Iterator[tuple[int, Parcel]]:
            for sent, number in enumerate(numbers):
                accounts.wait_for_room(_ON_THEIR_WAY)
                if rate is not None:  # a pace, which nothing else waits for
                    time.sleep(max(0.0, started + sent / rate - time.monotonic()))
                letter = post.letter(number)
                yield number, Parcel(letter.envelope_sender, [cast.JULIA], letter.content)

        send_all(self.postfix.ports[SUBMISSION], parcels(), enter)


@contextmanager
def run_mail_path(
    arrive: Callable[[Arrival], None],
    *,
    nameserver: Nameserver | None = None,
    changes: str = AS_SHIPPED,
    layout: str = "queue-first",
    watchdog: float = 30.0,
    settings: str = "",
    surroundings: Surroundings = ORDINARY,
) -> Iterator[MailPath]:
    """Run everything, and leave nothing; *changes* (TOML) are of alignd's configuration.

    They may name {directory}, which is of this run alone.
    """
    with (
        open_directory(memory_directory()) as directory,
        run_nameserver(nameserver) as dns,
        run_sink(arrive) as sink_port,
        run_service(
            directory / "alignd",
            lambda socket: configuration(
                changes.format(directory=directory), socket=socket, nameserver=dns.address
            ),
            watchdog=watchdog,
            surroundings=surroundings,
        ) as service,
        run_layout(
            layout, service.socket, sink_port, settings=settings, parent=memory_directory()
        ) as postfix,
    ):
        yield MailPath(directory, dns, service, postfix)


def memory_directory() -> Path | None:
    """Where the files go: into memory, if there is room."""
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    return MEMORY if usable and shutil.disk_usage(MEMORY).free > _ROOM_NEEDED else None
