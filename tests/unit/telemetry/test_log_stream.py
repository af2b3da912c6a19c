"""The log and its reader: whatever hangs, is gone or is full, no line is waited for."""

import fcntl
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignd.telemetry.log import MessageLog
from alignd.telemetry.log_stream import END_SECONDS, MAX_WAITING, PATIENCE_SECONDS
from tests.lab.readiness import wait_until

LINES = 2_000
LIMIT = PATIENCE_SECONDS * LINES / 2  # far below one wait for each line
NOBODY = 65534
TOLD = re.compile(r"^log lines were dropped: .* lines=(\d+)$", re.MULTILINE)
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@dataclass
class Reader:
    """A log, and the end of its stream from which nothing is read until it is asked for."""

    log: MessageLog
    descriptor: int
    stream: int

    def __post_init__(self) -> None:
        self.dropped = 0
        self.log.count_dropped(self.count)

    def count(self) -> None:
        self.dropped += 1

    def read(self) -> str:
        """All that is there now."""
        os.set_blocking(self.descriptor, False)
        found = b""
        while True:
            try:
                part = os.read(self.descriptor, 65_536)
            except BlockingIOError:
                return found.decode()
            if not part:
                return found.decode()
            found += part


def pipe() -> tuple[int, int]:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 65_536)
    return ours, theirs


def socket_pair() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.fixture(params=[pipe, socket_pair], ids=["pipe", "socket"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    ours, theirs = request.param()
    with (
        os.fdopen(ours, "rb"),
        os.fdopen(theirs, "w") as stream,
        closing(MessageLog(stream)) as log,
    ):
        yield Reader(log, ours, theirs)


def in_time(run: Callable[[], object], limit: float = LIMIT) -> None:
    """Fail, and do not wait for ever, when *run* is not done within *limit* seconds."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit)
    assert not thread.is_alive(), "it waits"


def write(log: MessageLog, numbers: range, domain: str = "mycompany.com") -> None:
    for number in numbers:
        log.message(f"Q{number}", action="pass", domain=domain)


def test_a_reader_that_hangs_is_waited_for_once_and_not_once_a_line(reader: Reader) -> None:
    in_time(lambda: write(reader.log, range(LINES)))

    lines = reader.read().splitlines()
    assert lines == [f"Q{n}: action=pass domain=mycompany.com" for n in range(len(lines))]
    assert 100 < len(lines) == LINES - reader.dropped


def test_one_line_says_how_many_were_dropped_when_it_is_read_again(reader: Reader) -> None:
    in_time(lambda: write(reader.log, range(LINES)))
    reader.read()

    write(reader.log, range(2))

    dropped, *rest = reader.read().splitlines()
    assert dropped == (
        f"log lines were dropped: they could not be written in time lines={reader.dropped}"
    )
    assert rest == [f"Q{n}: action=pass domain=mycompany.com" for n in range(2)]


def test_a_reader_that_reads_again_loses_no_further_line(reader: Reader) -> None:
    in_time(lambda: write(reader.log, range(LINES)))
    reader.read()
    dropped = reader.dropped

    for number in range(LINES):
        write(reader.log, range(number, number + 1))
        reader.read()

    assert reader.dropped == dropped


def test_a_reader_that_is_always_too_slow_reads_of_that_once_a_second(reader: Reader) -> None:
    started, seen = time.monotonic(), ""
    for _ in range(6):
        in_time(lambda: write(reader.log, range(LINES)))
        seen += reader.read()

    assert len(TOLD.findall(seen)) <= 1 + time.monotonic() - started


def test_a_line_that_was_cut_is_finished_before_the_next(reader: Reader) -> None:
    long = "x" * 50_000  # more than is written at once (PIPE_BUF); it fits into the pipe once
    in_time(lambda: write(reader.log, range(20), long))
    seen = reader.read()

    write(reader.log, range(20, 21), "next")

    lines = (seen + reader.read()).splitlines()
    assert len(lines) == 21 - reader.dropped + 1
    for line in lines:
        assert re.fullmatch(rf"Q\d+: action=pass domain=({long}|next)", line) or TOLD.match(line)


def test_other_programs_on_the_stream_may_wait_as_before(reader: Reader) -> None:
    write(reader.log, range(LINES))

    assert os.get_blocking(reader.stream)


def test_a_reader_that_is_gone_is_as_good_as_none(reader: Reader) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), reader.descriptor)

    write(reader.log, range(LINES))

    assert reader.dropped == LINES


def test_a_full_disk_drops_lines() -> None:
    with Path("/dev/full").open("w") as stream:
        log = MessageLog(stream)
        write(log, range(3))
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    counted: list[int] = []

    log.count_dropped(lambda: counted.append(1))

    assert len(counted) == 3  # also those before anybody counted
    log.close()


@pytest.mark.parametrize("closed", ["absent", "closed", "closed-behind-its-back"])
def test_a_stream_that_is_not_there_drops_all(closed: str) -> None:
    descriptor = os.dup(2)
    stream = None if closed == "absent" else open(descriptor, "w", closefd=False)  # noqa: SIM115
    if stream and closed == "closed":
        stream.close()
    os.close(descriptor)
    counted: list[int] = []
    log = MessageLog(stream)
    log.count_dropped(lambda: counted.append(1))

    write(log, range(2))

    assert len(counted) == 2


def in_a_child(run: Callable[[], object]) -> int:
    """The exit status of a process in which *run* was done; 1 if it raised."""
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(os.EX_OK)
        except BaseException:  # it must not go on in the tests of its parent
            os._exit(1)
    ended: list[int] = []

    def has_ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(found)

    try:
        wait_until(has_ended, "the child", timeout=30)
    except TimeoutError:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        raise
    return ended[0]


def test_a_file_has_all_lines_in_order_when_a_process_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        log = MessageLog(stream)
        log.service("of the parent")

        def work() -> None:
            log.after_fork()
            write(log, range(LINES))
            log.close()

        assert in_a_child(work) == os.EX_OK
        log.service("of the parent again")

    first, *lines, last = path.read_text().splitlines()
    assert (first, last) == ("of the parent", "of the parent again")
    assert lines == [f"Q{n}: action=pass domain=mycompany.com" for n in range(LINES)]


@ROOT
def test_a_pipe_of_another_user_that_nobody_reads_is_not_waited_for() -> None:
    ours, theirs = pipe()
    size = len("Q1000: action=pass domain=mycompany.com\n")
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "w") as stream:

        def work() -> None:
            os.setresuid(NOBODY, NOBODY, NOBODY)
            reader = Reader(MessageLog(stream), ours, theirs)
            in_time(lambda: write(reader.log, range(LINES)))  # as the supervisor does
            assert reader.dropped
            reader.read()
            reader.log.after_fork()  # as a worker does
            in_time(lambda: write(reader.log, range(LINES + MAX_WAITING // size)))
            before = time.monotonic()
            reader.log.close()
            assert time.monotonic() - before < 10 * END_SECONDS

        assert in_a_child(work) == os.EX_OK


@ROOT
def test_a_pipe_of_another_user_that_is_read_has_all_lines() -> None:
    ours, theirs = pipe()
    with os.fdopen(ours, "rb") as reading:
        with os.fdopen(theirs, "w") as stream:

            def work() -> None:
                os.setresuid(NOBODY, NOBODY, NOBODY)
                log = MessageLog(stream)
                log.service("of the parent")
                log.after_fork()
                write(log, range(500))
                log.close()

            assert in_a_child(work) == os.EX_OK
        first, *lines = reading.read().decode().splitlines()

    assert first == "of the parent"
    assert lines == [f"Q{n}: action=pass domain=mycompany.com" for n in range(500)]
