"""What readers of the page take from mail: mail at full speed, with them and without."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import setup, speed
from bench.generator import Generator, Load
from bench.peers import Peer
from bench.readers import Looked, Readers, ask, looking
from bench.with_ledger import CountingLedger, Sum
from tests.lab.alignd import Alignd, run_web
from tests.lab.ledger_rows import new_large_ledger
from tests.lab.processes import calls_itself, processor_seconds, stop
from tests.lab.readiness import free_ports, wait_until

KEEPS = 0.95
"""The share of its messages a second that mail is to keep while 50 readers look."""
QUICK = 0.2
"""Seconds for 95 in 100 views of the list, while mail leaves the page room: it goes first."""
DOMAINS = 10_000
PEOPLE = Readers(50, 2.0, 5.0)
"""Supporters who work with it: each clicks, reads, and clicks again."""
MACHINES = Readers(50, 0.0, 0.0)
"""As many programs that ask again at once: more than the page can bear."""
_MOST = 1_000_000  # messages of one run
_PATIENCE = 60.0  # seconds
_STRETCH = 5  # times as long as other runs: people click seldom
_CROWDS = ((PEOPLE, speed.CONNECTIONS), (MACHINES, speed.CONNECTIONS[1:2]))

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WithReaders:
    """Mail at one number of connections, and what the readers saw meanwhile."""

    readers: Readers
    connections: int
    """0 where there is no mail."""
    rate: float
    """Messages a second."""
    without: float
    looked: Looked
    page: float
    """Of a core, what the page took."""
    ledger: float
    """The same of the ledger's process, which counts that mail too."""
    worked: float = 0.0
    """Of a core, what the workers had; nothing where there is no mail."""
    worked_without: float = 0.0

    @property
    def share_of_workers(self) -> float:
        """Of the processor time that workers have without readers, what they have."""
        return self.worked / self.worked_without

    @property
    def share(self) -> float:
        """Of the messages a second, what is kept."""
        return self.rate / self.without

    @property
    def requests(self) -> float:
        """Answers a second."""
        return len(self.looked.all) / self.looked.seconds


class UnansweredError(RuntimeError):
    """A reader had no whole answer, so what mail keeps is not beside reading."""


def measure(
    generator: Generator, directory: Path, nameserver: str, tell: Tell, runs: speed.Runs
) -> Iterator[WithReaders]:
    """Run both by turns, with each first as often as the other.

    Raises:
        UncountedError: the ledger lacks messages, or has too many.
        UnansweredError: a reader was not answered.
    """
    directory.mkdir()
    tell(f"a ledger of {DOMAINS} domains")
    with _run(directory, nameserver) as bench:
        speed.warm(generator, Peer(speed.OURS, bench.relay.socket), 2, runs)
        bench.ledger.rest()
        tell("readers without mail")
        yield bench.without_mail(_STRETCH * runs.rounds * runs.seconds)
        for readers, numbers in _CROWDS:
            for connections in numbers:
                found = _Found(Sum(bench.relay), Sum(bench.relay), Looked())
                load = Load(connections, _MOST, _STRETCH * runs.seconds, edits=setup.EDITS)
                for number in range(runs.rounds):
                    tell(f"{readers.number} readers, {connections}, round {number + 1}")
                    turns = (True, False) if number % 2 else (False, True)
                    for is_read in turns:
                        bench.run(generator, load, readers if is_read else None, found)
                if found.looked.wrong or not found.looked.all:
                    raise UnansweredError(f"{found.looked.wrong} times: {found.looked.problem}")
                seconds = found.with_them.seconds
                yield WithReaders(
                    readers,
                    connections,
                    found.with_them.rate,
                    found.without.rate,
                    found.looked,
                    found.page / seconds,
                    found.process / seconds,
                    found.worked / seconds,
                    found.worked_without / found.without.seconds,
                )


def quantiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """The time within which 50, 95 and 99 of 100 have their answer."""
    if len(seconds) < 2:
        return (0.0, 0.0, 0.0)
    of_100 = statistics.quantiles(seconds, n=100, method="inclusive")
    return of_100[49], of_100[94], of_100[98]


@dataclass(slots=True)
class _Found:
    """The sums of all rounds."""

    with_them: Sum
    without: Sum
    looked: Looked
    page: float = 0.0
    """Processor seconds."""
    process: float = 0.0
    worked: float = 0.0
    worked_without: float = 0.0


@dataclass(frozen=True, slots=True)
class _Bench:
    """The relay, and the page on its ledger."""

    relay: Alignd
    web: Alignd
    port: int
    ledger: CountingLedger

    def run(
        self, generator: Generator, load: Load, readers: Readers | None, found: _Found
    ) -> None:
        """Put *load* on the relay while *readers* look, or nobody does."""
        page = self.web.process.pid
        if readers is None:
            stop(page)  # it would read the ledger for minutes after the last one who looked
            try:
                worked = self._worked()
                run = generator.run(self.relay.socket, load)
                found.worked_without += self._worked() - worked
            finally:
                os.kill(page, signal.SIGCONT)
            found.without.add(run)
        else:
            with looking(self.port, readers, DOMAINS, found.looked):
                before, worked = self._spent(), self._worked()
                run = generator.run(self.relay.socket, load)
                found.worked += self._worked() - worked
                after = self._spent()
            found.with_them.add(run)
            found.page += after[0] - before[0]
            found.process += after[1] - before[1]
        self.ledger.count(run.messages)

    def without_mail(self, seconds: float) -> WithReaders:
        """What people see while there is no mail."""
        looked = Looked()
        with looking(self.port, PEOPLE, DOMAINS, looked):
            before = self._spent()
            time.sleep(seconds)
            after = self._spent()
        if looked.wrong or not looked.all:
            raise UnansweredError(f"{looked.wrong} times: {looked.problem}")
        cores = [(now - then) / seconds for now, then in zip(after, before, strict=True)]
        return WithReaders(PEOPLE, 0, 0.0, 0.0, looked, *cores)

    def _worked(self) -> float:
        """The processor seconds of the workers."""
        children = self.relay.children()
        return sum(
            processor_seconds(pid) for pid in children if calls_itself(pid, "alignd: worker")
        )

    def _spent(self) -> tuple[float, float]:
        children = self.relay.children()
        (process,) = (pid for pid in children if calls_itself(pid, "alignd: ledger"))
        return processor_seconds(self.web.process.pid), processor_seconds(process)


@contextmanager
def _run(directory: Path, nameserver: str) -> Iterator[_Bench]:
    file, window = directory / "ledger.sqlite", directory / "window.sock"
    url = f"sqlite:///{file}"
    new_large_ledger(url, map(setup.author_domain, range(DOMAINS)), time.time())
    (port,) = free_ports(1)
    changes = (
        f'[ledger]\nwatch = "0s"\nurl = "{url}"\nwindow = "unix:{window}"\n'
        f'[web]\nlisten = "127.0.0.1:{port}"\n'
    )
    with setup.run_ours(directory / "relay", nameserver, changes=changes) as relay:
        wait_until(window.exists, "the window of the ledger")
        with run_web(directory / "web", nameserver, changes) as web:
            with closing(socket.create_connection(("127.0.0.1", port), _PATIENCE)) as peer:
                ask(peer, port, "/")  # who is first waits for the ledger to be read
            yield _Bench(relay, web, port, CountingLedger(file))
