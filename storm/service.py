"""alignd alone, for the storms that skip Postfix, and what it takes up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.processes import resident_memory
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import configuration
from tests.lab.systemd import Service, run_service


@dataclass(frozen=True, slots=True)
class Weight:
    """What the processes of alignd take up, all together."""

    memory: int
    """Resident, in octets."""
    threads: int
    descriptors: int


@contextmanager
def run_alone(nameserver: str, changes: str) -> Iterator[Service]:
    """Run alignd under its manager, without a Postfix.

    The *changes* (TOML) may name {directory}, which is of this run alone.
    """
    with (
        open_directory() as directory,
        run_service(
            directory / "alignd",
            lambda socket: configuration(
                changes.format(directory=directory), socket=socket, nameserver=nameserver
            ),
        ) as service,
    ):
        yield service


def weigh(service: Service) -> Weight:
    """Weigh it, with nothing connected to it: threads end a moment after their connections."""
    resting: list[tuple[int, int]] = []

    def rests() -> bool:
        now = _counted(service)
        resting.append(now)
        return resting[-10:] == [now] * 10

    wait_until(rests, "alignd to come to rest", timeout=30)
    return Weight(sum(map(resident_memory, _all(service))), *resting[-1])


def _counted(service: Service) -> tuple[int, int]:
    threads = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in _all(service))
    return threads, sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in _all(service))


def _all(service: Service) -> Sequence[int]:
    return service.main_pid, *service.workers()
