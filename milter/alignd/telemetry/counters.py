"""Counters in memory that all processes of the service share, so that a crash loses no count.

Each process adds to a row of its own, so no two processes write to one cell. The process that
replaces a dead one continues its row, so a sum over the rows never decreases. Adding takes a lock
among the threads of the process, and no system call.
"""

from __future__ import annotations

import mmap
import threading

_OCTETS = 8  # of a float: aligned, so written and read in one step and never seen half written


class CounterRow:
    """The counters of one process; safe for its threads."""

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells
        self._lock = threading.Lock()

    def add(self, *columns: int) -> None:
        """Add one to each of *columns*."""
        with self._lock:
            for column in columns:
                self._cells[column] += 1.0

    def increase(self, column: int, amount: float) -> None:
        with self._lock:
            self._cells[column] += amount

    def add_sample(self, column: int, bucket: int, total: int, amount: float) -> None:
        """Add one to *column* and to *bucket*, and *amount* to *total*."""
        cells = self._cells
        with self._lock:
            cells[column] += 1.0
            cells[bucket] += 1.0
            cells[total] += amount

    def set(self, column: int, value: float) -> None:
        self._cells[column] = value


class SharedCounters:
    """A table of counters, all 0.0 at first."""

    def __init__(self, rows: int, columns: int) -> None:
        """Map the memory: before the fork, since only the children of this process share it."""
        self._columns = columns
        self._cells = memoryview(mmap.mmap(-1, rows * columns * _OCTETS)).cast("d")
        self._rows = rows

    def row(self, number: int) -> CounterRow:
        start = number * self._columns
        return CounterRow(self._cells[start : start + self._columns])

    def sum(self, column: int) -> float:
        """The sum of this column over all rows."""
        return float(sum(self._cells[column : self._rows * self._columns : self._columns]))
