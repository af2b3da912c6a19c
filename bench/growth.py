"""How the cost of a message grows with all that may grow: time by the message, and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import tomli_w

from bench import setup
from bench.generator import Generator, Load
from tests.lab.alignd import Alignd
from tests.lab.processes import processor_seconds, resident_memory

_CONNECTIONS = 2
_SECONDS = 2.0
_ENOUGH = 120.0  # seconds
_NEW = 2_000
"""Authors that are met for the first time; a third of them is rewritten."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """What messages of one kind cost a worker."""

    what: str
    size: int
    microseconds: float
    """Processor time of one message."""
    memory: float
    """MiB, resident, afterwards."""


def measure(generator: Generator, directory: Path, nameserver: str, tell: Tell) -> Iterator[Cost]:
    """Let everything grow, one thing after another; *nameserver* knows 100,000 domains."""
    plain = Load(_CONNECTIONS, 1_000_000, _SECONDS, edits=setup.EDITS)
    with _one_worker(directory / "fields", nameserver) as worker:
        for size in (16, 116, 1_016, 10_016):
            tell(f"{size} header fields")
            yield worker.cost(generator, replace(plain, fields=size - 16), "header fields", size)
    with _one_worker(directory / "recipients", nameserver) as worker:
        for size in (1, 10, 100, 1_000):
            tell(f"{size} recipients")
            yield worker.cost(generator, replace(plain, recipients=size), "recipients", size)
    for size in (1_000, 10_000, 100_000):
        tell(f"{size} author domains")
        with _one_worker(directory / f"domains{size}", nameserver) as worker:
            load = replace(plain, domains=size)
            yield worker.cost(generator, load, "author domains", size)
    for size in (2, 8, 64):
        tell(f"{size} relay addresses")
        changes = _relay(str(ip_address("192.0.2.64") + number) for number in range(size - 2))
        with _one_worker(directory / f"addresses{size}", nameserver, changes) as worker:
            load = replace(plain, edits=None)  # these addresses are not in the SPF record
            yield worker.cost(generator, load, "relay addresses", size)
    for size in (0, 50, 500, 5_000, 20_000):
        tell(f"{size} tenants")
        changes = _tenants(size)
        with _one_worker(directory / f"tenants{size}", nameserver, changes) as worker:
            yield worker.first_cost(generator, plain, "tenants, each author new", size)
            yield worker.cost(generator, plain, "tenants", size)


@dataclass(frozen=True, slots=True)
class Worker:
    """The one worker of an alignd."""

    alignd: Alignd
    pid: int

    def cost(self, generator: Generator, load: Load, what: str, size: int) -> Cost:
        """What messages like *load* cost; each author is met before."""
        known = replace(load, messages=max(2_000, load.domains), seconds=_ENOUGH, edits=None)
        generator.run(self.alignd.socket, known)
        return self._cost(generator, load, what, size)

    def first_cost(self, generator: Generator, load: Load, what: str, size: int) -> Cost:
        """What messages like *load* cost that are each the first of its author, questions to DNS
        included; this must be the first that is measured."""
        # Which of them are rewritten is left open: DNS that is asked for the first time may fail.
        new = replace(load, domains=_NEW, messages=_NEW, seconds=_ENOUGH, edits=None)
        return self._cost(generator, new, what, size)

    def _cost(self, generator: Generator, load: Load, what: str, size: int) -> Cost:
        before = processor_seconds(self.pid)
        run = generator.run(self.alignd.socket, load)
        used = processor_seconds(self.pid) - before
        return Cost(what, size, used / run.messages * 1e6, resident_memory(self.pid) / 2**20)


@contextmanager
def _one_worker(directory: Path, nameserver: str, changes: str = "") -> Iterator[Worker]:
    directory.mkdir()
    with setup.run_ours(directory, nameserver, workers=1, changes=changes) as alignd:
        yield Worker(alignd, alignd.children()[0])


def _relay(more: Iterable[str]) -> str:
    addresses = ["192.0.2.25", "2001:db8::25", *more]
    return tomli_w.dumps({"relay": {"addresses": addresses}})


def _tenants(count: int) -> str:
    match = '[[tenant]]\nmatch = {{ "X-Redmine-Host" = "tenant{}.easyredmine.com" }}\n'
    return "".join(map(match.format, range(count)))
