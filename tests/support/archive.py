"""The archive as its process has it, in threads of a test; and what a test puts there."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from alignd.mailauth.dns import RecordType
from alignd.resolver.archive import writer
from alignd.resolver.archive.client import WAITING_OCTETS, ArchiveClient
from alignd.resolver.cache import Question
from alignd.service.archive_process import ArchiveOptions, ArchiveServer, ArchiveSockets
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from tests.lab.readiness import wait_until


def question(number: int) -> Question:
    """The TXT records of a name with that number."""
    return (f"{number}.example", RecordType.TXT)


def response(number: int, size: int = 10) -> bytes:
    """The answer to it, with a record of that many octets."""
    name = question(number)[0]
    message = dns.message.make_response(dns.message.make_query(name, "TXT"))
    strings = " ".join('"' + "x" * min(250, size - start) + '"' for start in range(0, size, 250))
    message.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", strings))
    return message.to_wire()


@dataclass
class Archive:
    """An archive and its only worker."""

    client: ArchiveClient
    server: ArchiveServer
    sockets: ArchiveSockets
    log_path: Path
    dropped: list[None] = field(default_factory=list)

    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text()

    def wait_until_in_file(self) -> None:
        """Return when all that was put is in the file."""
        memory = self.server._memory
        wait_until(lambda: self.client._room == WAITING_OCTETS, "it to be sent")
        wait_until(lambda: not memory.has_unwritten, "it to be written", 30)


@contextmanager
def run_archive(
    path: Path, keep_seconds: float = 3600.0, *, log_path: Path | None = None
) -> Iterator[Archive]:
    """Run the archive of the file at *path*; what it has is written when the block has ended."""
    log_path = log_path or path.with_suffix(".log")
    dropped: list[None] = []
    sockets = ArchiveSockets(1)
    ends = sockets.of_worker(0)
    with log_path.open("a") as stream, pytest.MonkeyPatch.context() as patches:
        patches.setattr(writer, "_BATCH_SECONDS", 0.05)
        server = ArchiveServer(
            ArchiveOptions(path, keep_seconds),
            sockets,
            Metrics(1).of_archive(),
            MessageLog(stream),
        )
        client = ArchiveClient(ends.answers, ends.questions, lambda: dropped.append(None), print)
        wakeup, wake = os.pipe()
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                server.show_state()
                server.serve_for(0.05, wakeup)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Archive(client, server, sockets, log_path, dropped)
        finally:
            ended.set()
            os.write(wake, b".")
            thread.join()
            server.end()
            client.end()
            for end in (sockets.answers, *sockets.questions, ends.answers, ends.questions):
                end.close()
            os.close(wake)
            os.close(wakeup)
