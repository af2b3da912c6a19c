"""What a process has used: processor time and memory."""

from __future__ import annotations

import os
from pathlib import Path

from tests.lab.alignd import Alignd
from tests.lab.readiness import children_of

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far, its threads and its system calls included."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / _TICKS


def resident(pid: int) -> float:
    """MiB of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def workers_of(alignd: Alignd) -> list[int]:
    """The process ids of the workers."""
    return children_of(alignd.process.pid)
