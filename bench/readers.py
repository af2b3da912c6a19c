"""People who look at the page: each asks, reads, and clicks again, until it is told to end.

    python -m bench.readers PORT READERS LOW HIGH DOMAINS

A process of its own, for its processor time is not that of the page. Each reader has a connection
that is kept, as browsers have, and thinks between LOW and HIGH seconds after an answer. It says
"ready" once each reader has asked, and prints one JSON object when its standard input ends.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http import HTTPStatus

from bench import setup

LIST, DOMAIN, JSON = "list", "domain", "JSON"
NICENESS = 10
"""As the page: people's browsers run elsewhere, and take nothing from mail."""
_PATIENCE = 60.0  # seconds
_PAUSE = 1.0  # seconds, after a connection that failed
_PIECE = 1 << 17  # octets
_STATES = ("rewrite", "pass", "unknown", "skip")
_SORTS = ("domain", "-domain", "-day", "-since", "tenant", "-rewritten")


@dataclass(frozen=True, slots=True)
class Readers:
    """Who looks, and how fast."""

    number: int
    low: float
    """Seconds between an answer and the next click, at least; and at most:"""
    high: float

    @property
    def thinks(self) -> bool:
        return self.high > 0


@dataclass(slots=True)
class Looked:
    """What came of it."""

    seconds: float = 0.0
    answers: dict[str, list[float]] = field(
        default_factory=lambda: {LIST: [], DOMAIN: [], JSON: []}
    )
    """By kind, the seconds until the whole answer was there."""
    wrong: int = 0
    """Answers that were none, or not whole."""
    problem: str = ""
    """What was wrong with one of them."""

    def add(self, other: Mapping[str, object]) -> None:
        """Add what such a process has printed."""
        seconds, wrong, answers = other["seconds"], other["wrong"], other["answers"]
        assert isinstance(seconds, float)
        assert isinstance(wrong, int)
        assert isinstance(answers, dict)
        self.seconds += seconds
        self.wrong += wrong
        self.problem = self.problem or str(other["problem"])
        for kind, some in answers.items():
            self.answers[kind] += some

    @property
    def all(self) -> list[float]:
        return [each for some in self.answers.values() for each in some]


@contextmanager
def looking(port: int, readers: Readers, domains: int, into: Looked) -> Iterator[None]:
    """Have *readers* look until the end of the block, and add what came of it to *into*."""
    arguments = map(str, (port, readers.number, readers.low, readers.high, domains))
    command = [sys.executable, "-m", "bench.readers", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield
            process.stdin.close()
            into.add(json.loads(process.stdout.read()))
        finally:
            process.kill()


def paths(domains: int, chosen: random.Random) -> Iterator[tuple[str, str]]:
    """What one reader looks at, with its kind: the list and its filters, and customers."""
    while True:
        domain = setup.author_domain(chosen.randrange(domains))
        search = f"{chosen.randrange(domains)}.auth"
        yield from (
            (LIST, "/"),
            (LIST, f"/?state={chosen.choice(_STATES)}"),
            (LIST, f"/?search={search}"),
            (DOMAIN, f"/domains/{domain}"),
            (LIST, f"/?sort={chosen.choice(_SORTS)}&page={chosen.randrange(1, 20)}"),
            (JSON, f"/domains.json?search={search}"),
            (DOMAIN, f"/domains/{setup.author_domain(chosen.randrange(domains))}"),
            (JSON, f"/domains/{domain}.json"),
        )


def ask(peer: socket.socket, port: int, path: str) -> tuple[int, int]:
    """The status of an answer, and the octets of its body that came, all that were promised.

    Raises:
        OSError: the connection ended before.
    """
    peer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    came = bytearray()
    while (end := came.find(b"\r\n\r\n")) < 0:
        came += _some(peer)
    head = came[:end].decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head[1:])
    left = int(fields["content-length"]) - (len(came) - end - 4)
    while left > 0:
        left -= len(_some(peer))
    return int(head[0].split()[1]), int(fields["content-length"])


def _some(peer: socket.socket) -> bytes:
    if not (some := peer.recv(_PIECE)):
        raise ConnectionError("cut off")
    return some


class _Crowd:
    """All readers of a process."""

    def __init__(self, port: int, readers: Readers, domains: int) -> None:
        self._port = port
        self._readers = readers
        self._domains = domains
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._begun = threading.Semaphore(0)
        self._looked = Looked()

    def run(self, tell_ready: Callable[[], None], await_end: Callable[[], None]) -> Looked:
        """Look until *await_end* returns."""
        threads = [
            threading.Thread(target=self._read, args=(number,), daemon=True)
            for number in range(self._readers.number)
        ]
        for each in threads:
            each.start()
        for _ in threads:
            self._begun.acquire()
        began = time.monotonic()
        tell_ready()
        await_end()
        self._ended.set()
        for each in threads:
            each.join()
        self._looked.seconds = time.monotonic() - began
        return self._looked

    def _read(self, number: int) -> None:
        chosen = random.Random(f"{os.getpid()} {number}")
        readers, wanted = self._readers, paths(self._domains, chosen)
        for _ in range(number % 8):  # they do not all begin at the list
            next(wanted)
        self._begun.release()
        self._ended.wait(chosen.uniform(0, readers.high))
        while not self._ended.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), _PATIENCE) as peer:
                    while not self._ended.is_set():
                        self._look(peer, *next(wanted))
                        self._ended.wait(chosen.uniform(readers.low, readers.high))
            except OSError as error:
                self._fail(repr(error))
                self._ended.wait(_PAUSE)

    def _look(self, peer: socket.socket, kind: str, path: str) -> None:
        began = time.monotonic()
        status, octets = ask(peer, self._port, path)
        if status != HTTPStatus.OK or not octets:
            self._fail(f"{status} at {path}")
        with self._lock:
            self._looked.answers[kind].append(time.monotonic() - began)

    def _fail(self, problem: str) -> None:
        with self._lock:
            self._looked.wrong += 1
            self._looked.problem = problem


def _await_end() -> None:
    sys.stdin.read()


def main(arguments: Sequence[str]) -> None:
    port, number, low, high, domains = arguments
    os.nice(NICENESS)
    crowd = _Crowd(int(port), Readers(int(number), float(low), float(high)), int(domains))
    looked = crowd.run(lambda: print("ready", flush=True), _await_end)
    print(json.dumps(asdict(looked)))


if __name__ == "__main__":
    main(sys.argv[1:])
