"""Rings in memory by which workers hand their answers to the ledger's process.

To write takes no system call and no wait, so no mail ever waits for the ledger. Each worker has a
ring; the supervisor maps them before any fork, so that a ring outlives its worker and its reader.
A record counts once it is whole, and stays until the reader says that it is in the file: whoever
of the two is killed, nothing is lost, and the next reader begins where nothing is in the file yet.
"""

from __future__ import annotations

import mmap
import secrets
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

RING_OCTETS = 2**23
"""Of each worker: some 60,000 messages, ten seconds of the most that a worker answers."""
MAX_RECORD = 4096
"""Octets; a longer one is dropped. An ordinary one has 130."""
NO_QUEUE_ID = 0
"""The hash of none, which two messages may share."""
_HEAD_OCTETS = 64
# Cells of the head. Items of a cast memoryview are aligned, so written and read in one step, while
# `struct.pack_into` clears them first: the other side would see a 0, or a kill leave one.
_WRITTEN, _NUMBER, _FREE, _SAVED = range(4)
_CHECKSUM = struct.Struct("=I")  # CRC-32 of all that follows
_HEAD = struct.Struct("=IQdq")  # length of the payload, number, time, queue id
_BOTH = struct.Struct("=IIQdq")
_OVERHEAD = _BOTH.size


class Record(NamedTuple):
    """One message that a worker has answered."""

    number: int
    """Consecutive, from 1, in each ring."""
    at: float
    """Unix time."""
    queue_id: int
    """A hash of it: who wants to know is told that two are one message, and not which."""
    payload: bytes
    """An `Answer` as it was encoded."""
    end: int
    """The position behind it."""


@dataclass(slots=True)
class Records:
    """Records that were read at once, in columns: taken one by one, they would cost twice as much.

    All columns have one length.
    """

    numbers: tuple[int, ...] = ()
    times: tuple[float, ...] = ()
    queue_ids: tuple[int, ...] = ()
    payloads: tuple[bytes, ...] = ()
    ends: tuple[int, ...] = ()
    """The position behind each."""
    is_damaged: bool = False
    """Whether what was written behind them is skipped: where the next one begins is not known. The
    numbers of the records tell how many."""

    @classmethod
    def of(cls, rows: Sequence[tuple[int, float, int, bytes, int]]) -> Records:
        """Make columns of *rows*, each with the fields of a `Record`."""
        columns: Any = zip(*rows, strict=True)
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Record]:
        return map(Record, self.numbers, self.times, self.queue_ids, self.payloads, self.ends)


class RingWriter:
    """A worker's side; safe for its threads."""

    def __init__(self, memory: memoryview) -> None:
        self._cells, self._room = _split(memory)
        self._lock = threading.Lock()

    def write(self, at: float, queue_id: str, payload: bytes) -> bool:
        """Append a record; False if there is no room for it."""
        length = _OVERHEAD + len(payload)
        if length > MAX_RECORD:
            return False
        cells = self._cells
        with self._lock:
            written, number = cells[_WRITTEN], cells[_NUMBER] + 1
            if written + length - cells[_FREE] > len(self._room):
                return False
            # The workers are forks of one process, so their hashes have one seed.
            octets = _HEAD.pack(len(payload), number, at, hash(queue_id)) + payload
            _put(self._room, written, _CHECKSUM.pack(zlib.crc32(octets)) + octets)
            # The number first: a worker that is killed between the two leaves a gap of one, which
            # is a message that it did not answer, and never two records with one number.
            cells[_NUMBER] = number
            cells[_WRITTEN] = written + length
        return True


class RingReader:
    """The side of the ledger's process."""

    def __init__(self, memory: memoryview, source: str) -> None:
        self._cells, self._room = _split(memory)
        self.source = source
        """Names the ring; another service, or this one started again, has others."""
        self._position: int = self._cells[_FREE]
        self._doubted = -1

    @property
    def position(self) -> int:
        """Behind all that was read."""
        return self._position

    @property
    def saved(self) -> int:
        """The number of the last record that is in a file."""
        return self._cells[_SAVED]

    @property
    def unsaved(self) -> int:
        """How many records were written and are in no file."""
        return self._cells[_NUMBER] - self._cells[_SAVED]

    @property
    def fullness(self) -> float:
        """How much of the ring the writer cannot use, from 0 to 1."""
        return (self._cells[_WRITTEN] - self._cells[_FREE]) / len(self._room)

    @property
    def unread(self) -> float:
        """How much of the ring is to be read, from 0 to 1."""
        return (self._cells[_WRITTEN] - self._position) / len(self._room)

    def read(self, most: int | None = None) -> Records:
        """What was written since the last call, or *most* records of it."""
        begin, written = self._position, self._cells[_WRITTEN]
        records = _records_in(_get(self._room, begin, written - begin), begin, most)
        end = records.ends[-1] if records else begin
        if end < written and (most is None or len(records) < most):
            # On a processor that reorders what it writes, it may come a moment later.
            records.is_damaged = self._doubted == end
            self._doubted = end
        self._position = written if records.is_damaged else end
        return records

    def free(self, position: int) -> None:
        """Let the writer use the room up to *position* again, unless it may already."""
        self._cells[_FREE] = max(position, self._cells[_FREE])

    def save(self, position: int, number: int) -> None:
        """Note that all up to *position*, the record with this *number*, is in the file."""
        # The number first: who is killed between the two reads these records again, and knows.
        self._cells[_SAVED] = max(number, self._cells[_SAVED])
        self.free(position)


class Rings:
    """The rings of all workers, all empty at first."""

    def __init__(self, workers: int, octets: int = RING_OCTETS) -> None:
        """Map the memory: before the fork, since only the children of this process share it."""
        self._memory = memoryview(mmap.mmap(-1, workers * octets))
        self._octets = octets
        self._name = secrets.token_hex(8)

    def __len__(self) -> int:
        return len(self._memory) // self._octets

    def writer(self, number: int) -> RingWriter:
        """The side of worker *number*, from 0; its replacement continues its ring."""
        return RingWriter(self._ring(number))

    def readers(self) -> tuple[RingReader, ...]:
        """The other side of each, for one process at a time."""
        return tuple(
            RingReader(self._ring(number), f"{self._name}.{number}") for number in range(len(self))
        )

    @property
    def unsaved(self) -> int:
        """How many records of all rings are in no file."""
        return sum(reader.unsaved for reader in self.readers())

    def _ring(self, number: int) -> memoryview:
        return self._memory[number * self._octets : (number + 1) * self._octets]


def _split(memory: memoryview) -> tuple[memoryview[int], memoryview]:
    """The cells of the head, and the room behind it."""
    return memory[:_HEAD_OCTETS].cast("Q"), memory[_HEAD_OCTETS:]


def _put(room: memoryview, position: int, octets: bytes) -> None:
    """Write *octets*, from the beginning again behind the end."""
    start = position % len(room)
    end = start + len(octets)
    if end <= len(room):
        room[start:end] = octets
        return
    first = len(room) - start
    room[start:] = octets[:first]
    room[: end - len(room)] = octets[first:]


def _get(room: memoryview, position: int, length: int) -> bytes:
    start = position % len(room)
    first = min(length, len(room) - start)
    return bytes(room[start : start + first]) + bytes(room[: length - first])


def _records_in(unread: bytes, begin: int, most: int | None) -> Records:
    """The whole records at the beginning of what was written from the position *begin* on."""
    found: list[tuple[int, float, int, bytes, int]] = []
    start, all_octets = 0, len(unread)
    while start + _OVERHEAD <= all_octets and len(found) != most:
        checksum, length, number, at, queue_id = _BOTH.unpack_from(unread, start)
        end = start + _OVERHEAD + length
        octets = unread[start + _CHECKSUM.size : end]
        if end > all_octets or zlib.crc32(octets) != checksum:
            break
        found.append((number, at, queue_id, octets[_HEAD.size :], begin + end))
        start = end
    return Records.of(found)
