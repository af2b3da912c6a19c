"""A log that is followed: rotated in every way, cut, gone, and read again after a crash."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from alignd.feedback.file import MAX_LINE, FollowedFile, Position

LINES = 20_000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.touch()
    return path


def append(path: Path, *lines: str) -> None:
    with path.open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def all_of(file: FollowedFile) -> list[str]:
    """What there is to read now."""
    found: list[bytes] = []
    while lines := file.read():
        found += lines
    return [line.decode() for line in found]


def read_on(log: Path, position: Position | None) -> tuple[list[str], Position]:
    with closing(FollowedFile(log, position)) as file:
        return all_of(file), file.position()


def test_lines_come_once_and_whole(log: Path) -> None:
    with closing(FollowedFile(log)) as file:
        append(log, "one", "two")
        with log.open("a") as stream:
            stream.write("thr")
        assert all_of(file) == ["one", "two"]
        append(log, "ee", "")
        assert all_of(file) == ["three", ""]
        assert all_of(file) == []


def renamed(log: Path) -> None:
    log.rename(log.with_name(f"{log.name}.1"))
    log.touch()


def renamed_with_a_date(log: Path) -> None:
    log.rename(log.with_name(f"{log.name}-20261128"))
    log.touch()


def copied_and_cut(log: Path) -> None:
    shutil.copy2(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


ROTATIONS = [
    pytest.param(renamed, id="renamed"),
    pytest.param(renamed_with_a_date, id="renamed-with-a-date"),
    pytest.param(copied_and_cut, id="copied-and-cut"),
]
Rotation = Callable[[Path], None]


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_a_rotated_log_is_followed(log: Path, rotate: Rotation) -> None:
    with closing(FollowedFile(log)) as file:
        append(log, "one")
        assert all_of(file) == ["one"]
        append(log, "two")
        rotate(log)
        append(log, "three")
        assert all_of(file) == ["two", "three"]


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("more", ["three", "three is longer than all that was in the file before"])
def test_reading_goes_on_after_a_rotation_that_nobody_saw(
    log: Path, rotate: Rotation, more: str
) -> None:
    append(log, "one")
    lines, position = read_on(log, None)
    append(log, "two")
    rotate(log)
    append(log, more)

    assert lines + read_on(log, position)[0] == ["one", "two", more]


def test_reading_goes_on_after_two_rotations_that_nobody_saw(log: Path) -> None:
    append(log, "one")
    _lines, position = read_on(log, None)
    append(log, "two")
    log.rename(log.with_name("mail.log.2"))
    append(log, "three")
    log.rename(log.with_name("mail.log.1"))
    append(log, "four")

    assert read_on(log, position)[0] == ["two", "three", "four"]


def test_a_writer_that_is_late_with_the_old_file_is_waited_for(log: Path) -> None:
    with closing(FollowedFile(log)) as file, log.open("a", buffering=1) as late:
        renamed(log)
        assert all_of(file) == []
        late.write("late\n")
        assert all_of(file) == ["late"]
        late.write("later\n")
        append(log, "new")
        assert all_of(file) == ["later", "new"]


def test_a_log_that_is_gone_for_a_while_is_followed(log: Path) -> None:
    with closing(FollowedFile(log)) as file:
        append(log, "one")
        log.rename(log.with_name("mail.log.1"))
        assert all_of(file) == ["one"]
        append(log, "two")
        assert all_of(file) == ["two"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="it-is-empty"),
        pytest.param("x\n", id="it-is-shorter"),
        pytest.param("another\nlog\nthat\nis\nlonger\n", id="it-is-longer"),
    ],
)
def test_another_file_in_its_place_is_read_from_its_beginning(log: Path, content: str) -> None:
    append(log, "one", "two", "three")
    _lines, position = read_on(log, None)
    log.write_text(content)  # the inode stays

    assert read_on(log, position)[0] == content.splitlines()


def test_a_line_without_end_is_cut_and_the_rest_of_it_skipped(log: Path) -> None:
    with closing(FollowedFile(log)) as file:
        append(log, "x" * 3_000_000, "short", "y" * (MAX_LINE - 1))
        lengths = [len(line) for line in all_of(file)]

    assert lengths == [MAX_LINE, 5, MAX_LINE - 1]


def test_what_stood_before_is_read_for_decisions(log: Path) -> None:
    append(log, "one", "two")
    log.rename(log.with_name("mail.log.1"))
    append(log, "three")
    _lines, position = read_on(log, None)
    append(log, "four")

    with closing(FollowedFile(log, position)) as file:
        assert list(file.earlier()) == [b"one", b"two", b"three"]
        assert all_of(file) == ["four"]


@pytest.mark.parametrize("kind", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    kind(tmp_path / "x")

    with pytest.raises(OSError, match="not a regular file"):
        FollowedFile(tmp_path / "x")


def _write(log: Path, done: threading.Event) -> None:
    """Write numbered lines as fast as it goes, and rename the log again and again meanwhile."""
    stream = log.open("a", buffering=1)
    for number in range(LINES):
        stream.write(f"{number}\n")
        if number % 1000 == 999:
            rotations = number // 1000 + 1
            log.rename(log.with_name(f"{log.name}.{1000 - rotations}"))
            stream.write(f"late {number}\n")  # as a program does until it is told
            stream.close()
            stream = log.open("a", buffering=1)
    stream.close()
    done.set()


@contextmanager
def writing(log: Path) -> Iterator[threading.Event]:
    done = threading.Event()
    writer = threading.Thread(target=_write, args=(log, done))
    writer.start()
    yield done
    writer.join()


def expected() -> list[str]:
    lines = []
    for number in range(LINES):
        lines.append(str(number))
        if number % 1000 == 999:
            lines.append(f"late {number}")
    return lines


def test_under_load_no_line_is_lost_or_doubled(log: Path) -> None:
    found: list[str] = []
    with closing(FollowedFile(log)) as file, writing(log) as done:
        while not done.is_set():
            found += all_of(file)
        found += all_of(file)

    assert found == expected()


def test_under_load_a_reader_that_is_killed_again_and_again_loses_and_doubles_nothing(
    log: Path,
) -> None:
    append(log, "begin")
    found, position = read_on(log, None)
    kills, is_last = 0, False
    with writing(log) as done:
        while not is_last:
            is_last = done.is_set()
            with closing(FollowedFile(log, position)) as file:
                while lines := file.read():
                    if not is_last and len(lines) % 3 == 0:
                        kills += 1
                        break  # what was read since the place was kept is forgotten
                    found += [line.decode() for line in lines]
                    position = file.position()

    assert found == ["begin", *expected()]
    assert kills


def test_a_hundred_thousand_lines_are_read_in_a_second(log: Path) -> None:
    append(
        log,
        *["Nov 28 11:44:57 relay postfix/qmgr[1]: 4bQx2K1: from=<a@b.example>, size=1"] * 100_000,
    )
    begin = time.process_time()
    with closing(FollowedFile(log)) as file:
        assert len(all_of(file)) == 100_000

    assert time.process_time() - begin < 1
