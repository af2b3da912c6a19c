"""A board in memory that all processes of the service share: each writes its own text on it.

Counters say how much; what a process has in force, such as the address of a nameserver, is text.
Each process has a row of its own, with two places: it writes into the one that nobody reads, and
then says that this one counts. So a process that dies over it leaves what it said before. A reader
that is slower than two texts sees that by their checksum, and looks again.
"""

from __future__ import annotations

import mmap
import struct
import zlib

PLACE_OCTETS = 65_536
"""Room for one text: a path of 4,096 octets, each escaped in JSON, and sixteen nameservers."""
_HEAD = struct.Struct("=II")  # length and CRC-32 of the text
_WHICH = struct.Struct("=Q")  # aligned, so written and read in one step
_ROW_OCTETS = _WHICH.size + 2 * PLACE_OCTETS
_TRIES = 1000


class BoardError(ValueError):
    """A text does not fit into its place, or could not be read."""


class BoardRow:
    """The row of one process, which alone writes to it."""

    def __init__(self, octets: memoryview) -> None:
        self._octets = octets

    def write(self, text: bytes) -> None:
        """Replace what the row says.

        Raises:
            BoardError: *text* is too long; the row says what it said before.
        """
        if len(text) > PLACE_OCTETS - _HEAD.size:
            raise BoardError(f"{len(text)} octets do not fit into {PLACE_OCTETS}")
        (which,) = _WHICH.unpack_from(self._octets)
        start = self._start_of(which + 1)
        _HEAD.pack_into(self._octets, start, len(text), zlib.crc32(text))
        self._octets[start + _HEAD.size : start + _HEAD.size + len(text)] = text
        _WHICH.pack_into(self._octets, 0, which + 1)

    def clear(self) -> None:
        """Leave the row empty: its process has ended."""
        self.write(b"")

    def read(self) -> bytes:
        """What the row says; empty if nothing.

        Raises:
            BoardError: it is written again and again meanwhile.
        """
        for _ in range(_TRIES):
            (which,) = _WHICH.unpack_from(self._octets)
            start = self._start_of(which)
            length, checksum = _HEAD.unpack_from(self._octets, start)
            text = bytes(self._octets[start + _HEAD.size : start + _HEAD.size + length])
            if zlib.crc32(text) == checksum:
                return text
        raise BoardError("it is written again and again")

    @staticmethod
    def _start_of(which: int) -> int:
        return _WHICH.size + which % 2 * PLACE_OCTETS


class Board:
    """The rows of all processes, all empty at first."""

    def __init__(self, rows: int) -> None:
        """Map the memory: before the fork, since only the children of this process share it."""
        self._octets = memoryview(mmap.mmap(-1, rows * _ROW_OCTETS))
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def row(self, number: int) -> BoardRow:
        return BoardRow(self._octets[number * _ROW_OCTETS : (number + 1) * _ROW_OCTETS])
