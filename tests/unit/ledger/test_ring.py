"""Rings: what a worker writes is read once, whole and in order, whoever is killed when."""

import mmap
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alignd.ledger.ring import MAX_RECORD, Record, RingReader, Rings, RingWriter
from tests.lab.readiness import wait_until

OCTETS = 1024  # a small ring, so that records often go round its end
PAYLOADS = st.binary(max_size=200)


class KilledError(Exception):
    """Stands for the end of a process at this moment."""


class Killing:
    """A memory whose user is killed before it writes for the *n*-th time."""

    def __init__(self, memory: memoryview, writes_left: int) -> None:
        self._memory = memory
        self._left = writes_left

    def __len__(self) -> int:
        return len(self._memory)

    def __getitem__(self, place: Any) -> Any:
        return self._memory[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        if self._left == 0:
            raise KilledError
        self._left -= 1
        self._memory[place] = value


def _ring() -> tuple[Rings, RingWriter, RingReader]:
    rings = Rings(1, OCTETS)
    return rings, rings.writer(0), rings.readers()[0]


def _numbers(reader: RingReader) -> list[int | None]:
    """Those of what is read; None where some is skipped."""
    records = reader.read()
    return [*records.numbers, None] if records.is_damaged else list(records.numbers)


def test_a_record_is_read_once_with_all_that_was_said() -> None:
    _, writer, reader = _ring()
    assert writer.write(1.5, "4bQx2K1", b"answer")
    (record,) = reader.read()
    assert (record.number, record.at, record.payload) == (1, 1.5, b"answer")
    assert not reader.read()


def test_a_queue_id_is_told_from_others_and_cannot_be_read() -> None:
    rings = Rings(2, OCTETS)
    for worker, queue_id in ((0, "4bQx2K1"), (1, "4bQx2K1"), (1, "4bQx2K2"), (1, "")):
        rings.writer(worker).write(0.0, queue_id, b"")
    first, same, other, none = (
        record.queue_id for reader in rings.readers() for record in reader.read()
    )
    assert first == same != other
    assert none == 0
    assert b"4bQx2K1" not in bytes(rings._memory)


def test_a_full_ring_takes_no_more_until_something_is_saved() -> None:
    _, writer, reader = _ring()
    written = 0
    while writer.write(0.0, "", bytes(100)):
        written += 1
    records = list(reader.read())
    assert len(records) == written
    assert (reader.unread, reader.fullness > 0.8) == (0.0, True)
    assert not writer.write(0.0, "", bytes(100))
    reader.save(records[0].end, records[0].number)
    assert writer.write(0.0, "", bytes(100))
    assert reader.unsaved == written  # and what found no room has no number


def test_a_record_that_is_too_long_is_refused() -> None:
    rings = Rings(1)
    assert not rings.writer(0).write(0.0, "", bytes(MAX_RECORD))
    assert rings.writer(0).write(0.0, "", bytes(MAX_RECORD - 100))
    assert rings.unsaved == 1


def test_damage_costs_what_was_written_by_then_and_no_more() -> None:
    rings, writer, reader = _ring()
    for _ in range(3):
        writer.write(0.0, "", b"answer")
    (first,) = reader.read(most=1)
    rings._memory[64 + first.end + 20] ^= 1
    assert _numbers(reader) == []  # it may have come late
    assert _numbers(reader) == [None]
    writer.write(0.0, "", b"answer")
    assert _numbers(reader) == [4]


def test_what_comes_late_is_not_damaged() -> None:
    rings, writer, reader = _ring()
    writer.write(0.0, "", b"answer")
    rings._memory[64 + 20] ^= 1
    assert _numbers(reader) == []
    rings._memory[64 + 20] ^= 1
    assert _numbers(reader) == [1]


@given(st.lists(PAYLOADS, min_size=1, max_size=40), st.integers(0, 200))
def test_a_worker_that_is_killed_anywhere_leaves_whole_records_alone(
    payloads: list[bytes], writes: int
) -> None:
    rings, writer, reader = _ring()
    cells, room = writer._cells, writer._room
    writer._cells, writer._room = (
        Killing(cells, writes // 2),  # type: ignore[assignment]
        Killing(room, writes - writes // 2),  # type: ignore[assignment]
    )
    said: list[bytes] = []
    try:
        for payload in payloads:
            if writer.write(0.0, "", payload):
                said.append(payload)
    except KilledError:
        pass
    rings.writer(0).write(0.0, "", b"of the next worker")
    records = list(reader.read())
    assert [record.payload for record in records][: len(said)] == said
    numbers = [record.number for record in records]
    assert numbers == sorted(set(numbers))
    assert numbers[: len(said)] == list(range(1, len(said) + 1))


class Ring(RuleBasedStateMachine):
    """One ring, whose two sides are killed and replaced at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.rings, self.writer, self.reader = _ring()
        self.written: deque[tuple[int, bytes]] = deque()
        """What is not read."""
        self.read: deque[Record] = deque()
        """What is read and not saved."""
        self.count = self.saved = 0

    @rule(payload=PAYLOADS)
    def write(self, payload: bytes) -> None:
        if self.writer.write(1.0, "a", payload):
            self.count += 1
            self.written.append((self.count, payload))

    @rule(most=st.integers(1, 10))
    def read_some(self, most: int) -> None:
        for record in self.reader.read(most):
            assert (record.number, record.payload) == self.written.popleft()
            self.read.append(record)

    @precondition(lambda self: self.read)
    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, len(self.read)))):
            last = self.read.popleft()
        self.reader.save(last.end, last.number)
        self.saved = last.number

    @rule()
    def replace_worker(self) -> None:
        self.writer = self.rings.writer(0)

    @rule()
    def replace_ledger(self) -> None:
        """What it has read and not saved is read again."""
        (self.reader,) = self.rings.readers()
        again = [(record.number, record.payload) for record in self.read]
        self.written.extendleft(reversed(again))
        self.read.clear()
        assert self.reader.saved == self.saved

    @invariant()
    def knows_what_is_not_saved(self) -> None:
        assert self.reader.unsaved == self.rings.unsaved == self.count - self.saved
        assert 0 <= self.reader.fullness <= 1


TestRing = Ring.TestCase
TestRing.settings = settings(max_examples=40, stateful_step_count=30)


def test_what_was_freed_is_not_read_again_and_not_saved() -> None:
    rings, writer, reader = _ring()
    for _ in range(4):
        writer.write(0.0, "", b"")
    records = list(reader.read())
    reader.save(records[0].end, 1)
    reader.free(records[2].end)
    reader.save(records[1].end, 2)  # later than the room was freed
    (replaced,) = rings.readers()
    assert (replaced.saved, _numbers(replaced)) == (2, [4])


@contextmanager
def _run_writer(rings: Rings) -> Iterator[None]:
    """A process that writes as fast as it can."""
    pid = os.fork()
    if not pid:
        writer = rings.writer(0)
        while True:
            writer.write(0.0, "4bQx2K1", b"answer")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_between_processes_all_is_read_in_order_whenever_one_is_killed() -> None:
    kills = 4
    rings = Rings(1, 64 * mmap.PAGESIZE)
    (reader,) = rings.readers()
    numbers = [0]

    def read() -> None:
        assert 0 <= reader.fullness <= 1
        records = reader.read()
        assert not records.is_damaged
        numbers.extend(records.numbers)
        reader.save(reader.position, numbers[-1])

    for _ in range(kills):
        with _run_writer(rings):
            deadline = time.monotonic() + 0.1
            while time.monotonic() < deadline:
                read()
        read()
    assert len(numbers) > 1000
    gaps = [after - before - 1 for before, after in pairwise(numbers)]
    assert set(gaps) <= {0, 1}
    assert sum(gaps) <= kills  # each may have taken a number and written nothing


def test_no_side_ever_sees_a_position_of_the_other_half_written() -> None:
    rings = Rings(1, 64 * mmap.PAGESIZE)
    (reader,) = rings.readers()
    cells = reader._cells
    with _run_writer(rings):
        wait_until(lambda: cells[0], "the first record")
        before = 0
        for _ in range(100_000):
            written = cells[0]
            assert written >= before
            before = written
