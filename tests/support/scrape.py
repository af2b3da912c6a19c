"""Reads what Prometheus and a health check see of alignd."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.lab.alignd import Alignd, run_alignd
from tests.lab.processes import is_worker
from tests.lab.readiness import free_ports, wait_until

_TIMEOUT = 10  # seconds


@dataclass(frozen=True, slots=True)
class Response:
    """What came of one request."""

    status: int
    body: str
    content_type: str


class Scrape:
    """All numbers of one moment."""

    def __init__(self, text: str) -> None:
        self.families = tuple(text_string_to_metric_families(text))
        self.samples: tuple[Sample, ...] = tuple(
            sample for family in self.families for sample in family.samples
        )

    def __getitem__(self, name: str) -> float:
        """The number of the one series of that name."""
        (number,) = (sample.value for sample in self.samples if sample.name == name)
        return number

    def of(self, name: str, **labels: str) -> float:
        """The sum over the series of that name that have these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """What is not 0 of that name, by the values of the labels, in the order of their names."""
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for sample in self.samples
            if sample.name == name and sample.value
        }

    @property
    def rising(self) -> dict[str, float]:
        """What must never go back: all counts and sums, by their series."""
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in self.families
            if family.type in {"counter", "histogram"}
            for sample in family.samples
        }


@dataclass(frozen=True, slots=True)
class Watched:
    """An alignd with metrics."""

    alignd: Alignd
    port: int

    def request(self, path: str, method: str = "GET", *, host: str = "127.0.0.1") -> Response:
        """Make one request."""
        connection = http.client.HTTPConnection(host, self.port, timeout=_TIMEOUT)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read().decode()
            return Response(response.status, body, response.headers["Content-Type"])
        finally:
            connection.close()

    def scrape(self) -> Scrape:
        """All numbers now."""
        response = self.request("/metrics")
        assert response.status == 200
        return Scrape(response.body)

    def wait_until_served(self, *, host: str = "127.0.0.1") -> None:
        """Return when it answers: it may, a moment later than alignd is ready."""

        def answers() -> bool:
            try:
                return self.request("/metrics", host=host).status == 200
            except OSError:
                return False

        wait_until(answers, "the metrics to be served")

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [pid for pid in self.alignd.children() if is_worker(pid)]

    def monitor(self) -> int | None:
        """The process id of the one that listens on the port; None when nobody does."""
        return next((pid for pid in self.alignd.children() if self.port in listening(pid)), None)


@contextmanager
def run_watched(
    directory: Path, nameserver: str, changes: str = "", **how: Any
) -> Iterator[Watched]:
    """Run alignd, as `run_alignd` does, with metrics on a free port.

    They are served when the block begins.
    """
    (port,) = free_ports(1)
    changes = f'{changes}\n[metrics]\nlisten = "127.0.0.1:{port}"\n'
    with run_alignd(directory, nameserver, changes, **how) as alignd:
        watched = Watched(alignd, port)
        watched.wait_until_served()
        yield watched


def listening(pid: int) -> set[int]:
    """The TCP ports that this process listens on; none when it has ended."""
    sockets = set()
    with suppress(FileNotFoundError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                sockets.add(str(descriptor.readlink()))
    return {port for port, inode in _all_listening() if f"socket:[{inode}]" in sockets}


def _all_listening() -> Iterator[tuple[int, str]]:
    """Port and inode of every TCP socket of this machine that listens."""
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # no IPv6
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":  # TCP_LISTEN
                    yield int(fields[1].rpartition(":")[2], 16), fields[9]
