"""Numbers in memory that all processes of the service share, so that none is lost with a process.

Each process adds to a row of its own, and the one that takes its place goes on with the row: a sum
over the rows never goes back, whichever process dies. Adding costs a lock of the process's own
threads and no system call.
"""

from __future__ import annotations

import mmap
import threading

_OCTETS = 8  # of a float; written and read in one step, so never seen half written


class CounterRow:
    """The numbers of one process; safe for its threads."""

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells
        self._lock = threading.Lock()

    def add(self, *columns: int) -> None:
        """Add one in each of these columns."""
        with self._lock:
            for column in columns:
                self._cells[column] += 1.0

    def add_sample(self, column: int, bucket: int, total: int, amount: float) -> None:
        """Add one in *column* and in *bucket*, and *amount* in *total*."""
        cells = self._cells
        with self._lock:
            cells[column] += 1.0
            cells[bucket] += 1.0
            cells[total] += amount

    def set(self, column: int, value: float) -> None:
        """Let this column have that value."""
        self._cells[column] = value


class SharedCounters:
    """So many rows of so many columns, all 0.0; made before the processes are forked."""

    def __init__(self, rows: int, columns: int) -> None:
        self._columns = columns
        self._cells = memoryview(mmap.mmap(-1, rows * columns * _OCTETS)).cast("d")
        self._rows = rows

    def row(self, number: int) -> CounterRow:
        """The row of one process."""
        start = number * self._columns
        return CounterRow(self._cells[start : start + self._columns])

    def sum(self, column: int) -> float:
        """The sum of this column over all rows."""
        return float(sum(self._cells[column : self._rows * self._columns : self._columns]))
