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
from collections.abc import Iterator
from dataclasses import dataclass

RING_OCTETS = 2**21
"""Of each worker: some 15,000 messages, many seconds of the most that a worker answers."""
MAX_RECORD = 4096
"""Octets; a longer one is dropped. An ordinary one has 130."""
NO_QUEUE_ID = 0
"""The hash of none, which two messages may share."""
_POSITION = struct.Struct("=Q")  # aligned, so written and read in one step and never torn
_WRITTEN, _TAKEN, _NUMBER, _HEAD_OCTETS = 0, 8, 16, 64
_RECORD = struct.Struct("=IIQdQ")  # length of the payload, its CRC-32, number, time, queue id


@dataclass(frozen=True, slots=True)
class Record:
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
    """The position behind it, for `RingReader.release`."""


class RingWriter:
    """A worker's side; safe for its threads."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._lock = threading.Lock()

    def write(self, at: float, queue_id: str, payload: bytes) -> bool:
        """Append a record; False if there is no room for it."""
        length = _RECORD.size + len(payload)
        if length > MAX_RECORD:
            return False
        memory, room = self._memory, len(self._memory) - _HEAD_OCTETS
        with self._lock:
            (written,) = _POSITION.unpack_from(memory, _WRITTEN)
            (taken,) = _POSITION.unpack_from(memory, _TAKEN)
            if written + length - taken > room:
                return False
            (number,) = _POSITION.unpack_from(memory, _NUMBER)
            head = _RECORD.pack(len(payload), zlib.crc32(payload), number + 1, at, _hash(queue_id))
            _put(memory, written, head + payload)
            # The number first: a worker that is killed between the two leaves a gap of one, which
            # is a message that it did not answer, and never two records with one number.
            _POSITION.pack_into(memory, _NUMBER, number + 1)
            _POSITION.pack_into(memory, _WRITTEN, written + length)
        return True


class RingReader:
    """The side of the ledger's process."""

    def __init__(self, memory: memoryview, source: str) -> None:
        self._memory = memory
        self.source = source
        """Names the ring; another service, or this one started again, has others."""
        (self._position,) = _POSITION.unpack_from(memory, _TAKEN)

    @property
    def fullness(self) -> float:
        """How much of the ring is not released, from 0 to 1."""
        (written,) = _POSITION.unpack_from(self._memory, _WRITTEN)
        (taken,) = _POSITION.unpack_from(self._memory, _TAKEN)
        return float(written - taken) / (len(self._memory) - _HEAD_OCTETS)

    def read(self, most: int = 5000) -> Iterator[Record | None]:
        """What was written since the last call, at most so many; None for one that is damaged.

        Behind a damaged record all is skipped that has been written: where the next one begins is
        not known.
        """
        (written,) = _POSITION.unpack_from(self._memory, _WRITTEN)
        for _ in range(most):
            if self._position >= written:
                return
            record = self._at(self._position, written)
            self._position = written if record is None else record.end
            yield record

    def release(self, position: int) -> None:
        """Let the writer use the room up to *position* again, unless it may already."""
        (taken,) = _POSITION.unpack_from(self._memory, _TAKEN)
        if position > taken:
            _POSITION.pack_into(self._memory, _TAKEN, position)

    @property
    def position(self) -> int:
        """Behind all that was read."""
        return int(self._position)

    def _at(self, position: int, written: int) -> Record | None:
        if written - position < _RECORD.size:
            return None
        head = _get(self._memory, position, _RECORD.size)
        length, checksum, number, at, queue_id = _RECORD.unpack(head)
        end = position + _RECORD.size + length
        if end > written:
            return None
        payload = _get(self._memory, position + _RECORD.size, length)
        if zlib.crc32(payload) != checksum:
            return None
        return Record(number, at, queue_id, payload, end)


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

    def _ring(self, number: int) -> memoryview:
        return self._memory[number * self._octets : (number + 1) * self._octets]


def _hash(queue_id: str) -> int:
    # The workers are forks of one process, so they have one seed; that of "" is NO_QUEUE_ID.
    return hash(queue_id) & (2**64 - 1)


def _put(memory: memoryview, position: int, octets: bytes) -> None:
    """Write *octets*, from the beginning again behind the end."""
    room = len(memory) - _HEAD_OCTETS
    start = position % room
    first = min(len(octets), room - start)
    memory[_HEAD_OCTETS + start : _HEAD_OCTETS + start + first] = octets[:first]
    memory[_HEAD_OCTETS : _HEAD_OCTETS + len(octets) - first] = octets[first:]


def _get(memory: memoryview, position: int, length: int) -> bytes:
    room = len(memory) - _HEAD_OCTETS
    start = position % room
    first = min(length, room - start)
    begin = bytes(memory[_HEAD_OCTETS + start : _HEAD_OCTETS + start + first])
    return begin + bytes(memory[_HEAD_OCTETS : _HEAD_OCTETS + length - first])
