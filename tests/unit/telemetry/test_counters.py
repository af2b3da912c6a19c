"""Shared counters: exact over all processes, and not lost with one of them."""

import os
from threading import Thread

import pytest

from alignd.telemetry.counters import CounterRow, SharedCounters

# The name servers of other tests have threads, which the forked processes do not touch.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

PROCESSES, THREADS, TIMES = 4, 3, 2000


def test_all_processes_and_threads_are_summed_to_the_last() -> None:
    counters = SharedCounters(PROCESSES, 3)

    pids = [_in_a_process(counters, number) for number in range(PROCESSES)]
    for pid in pids:
        os.waitpid(pid, 0)

    assert [counters.sum(column) for column in range(3)] == [
        2 * PROCESSES * THREADS * TIMES,
        PROCESSES * THREADS * TIMES,
        PROCESSES * THREADS * TIMES / 2,
    ]


def _in_a_process(counters: SharedCounters, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        row = counters.row(number)
        threads = [Thread(target=_add, args=(row,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0)
    return pid


def _add(row: CounterRow) -> None:
    for _ in range(TIMES):
        row.add(0)
        row.add_sample(0, 1, 2, 0.5)


def test_a_process_goes_on_where_another_ended() -> None:
    counters = SharedCounters(2, 1)
    for _ in range(2):
        os.waitpid(_in_a_process_once(counters), 0)

    counters.row(1).add(0)

    assert counters.sum(0) == 3


def _in_a_process_once(counters: SharedCounters) -> int:
    pid = os.fork()
    if pid == 0:
        counters.row(0).add(0)
        os._exit(0)
    return pid


def test_a_row_is_apart_from_the_others() -> None:
    counters = SharedCounters(3, 2)

    counters.row(1).set(0, 7.0)
    counters.row(2).add(0, 1, 1)

    assert (counters.sum(0), counters.sum(1)) == (8.0, 2.0)
    counters.row(1).set(0, 0.0)
    assert counters.sum(0) == 1.0
