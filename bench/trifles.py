"""Single figures: idle connections, the start, an author who is new, a body that never comes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import setup
from bench.generator import Generator, Load
from tests.lab import cast
from tests.lab.alignd import Alignd
from tests.lab.milter_client import MilterConnection
from tests.lab.processes import resident_memory
from tests.lab.readiness import wait_until

_IDLE = 2_000
_NO_BODY = 0x10  # SMFIP_NOBODY
_PROBES = 20


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, with what it is to be."""

    what: str
    value: str
    goal: str
    reached: bool


def measure(generator: Generator, directory: Path, nameserver: str) -> Iterator[Figure]:
    """Take them, each with an alignd of its own."""
    directory.mkdir()
    started = time.monotonic()
    with setup.run_ours(directory / "ready", nameserver) as alignd:
        seconds = time.monotonic() - started
        yield Figure("from start to ready", f"{seconds:.2f} s", "under 0.5 s", seconds < 0.5)
        first = _milliseconds(alignd, 0)
        yield Figure(
            "the first message after a start, its author new", f"{first:.1f} ms", "", True
        )
        cold = sorted(_milliseconds(alignd, number) for number in range(1, _PROBES))
        middle = cold[len(cold) // 2]
        yield Figure("a message of an author who is new", f"{middle:.1f} ms", "", True)
        warm = sorted(_milliseconds(alignd, 1) for _ in range(_PROBES))
        middle = warm[len(warm) // 2]
        yield Figure("a message of one who is known", f"{middle:.1f} ms", "", True)
        flags = generator.run(alignd.socket, Load(1, 1, 10)).flags
        never = bool(flags & _NO_BODY)
        yield Figure("a body of 50 MB", "never sent" if never else "sent", "never sent", never)
    with setup.run_ours(directory / "idle", nameserver, workers=1) as alignd:
        yield _idle(alignd)


def _milliseconds(alignd: Alignd, number: int) -> float:
    author = f"agent@aligned{3 * number + 1}.authors.example"
    message = f"From: Marky <{author}>\r\nSubject: Re\r\n\r\nHello\r\n".encode()
    connection = MilterConnection(alignd.socket, client="192.0.2.7")
    with connection as mta:
        started = time.monotonic()
        if not mta.send(author, (cast.JULIA,), message).accepted:
            raise RuntimeError("not accepted")
        return (time.monotonic() - started) * 1000


def _idle(alignd: Alignd) -> Figure:
    (worker,) = alignd.children()
    _milliseconds(alignd, 0)
    before, path = resident_memory(worker), alignd.socket.partition(":")[2]
    descriptors = Path(f"/proc/{worker}/fd")
    with ExitStack() as connections:
        for _ in range(_IDLE):
            client = connections.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(path)
        wait_until(lambda: len(list(descriptors.iterdir())) > _IDLE, "all to be accepted")
        grown = (resident_memory(worker) - before) / 2**20
    return Figure(f"{_IDLE} idle connections", f"{grown:.1f} MiB", "under 15 MiB", grown < 15)
