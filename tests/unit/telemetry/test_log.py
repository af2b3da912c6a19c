"""The log: lines stay whole, no mail can forge one, and an error is named by its place."""

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from dns.name import Name

from alignd.telemetry.log import MessageLog, described

WRITERS, LINES = 4, 500


def test_lines_of_several_processes_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "log"
    # As standard error is: each write goes out at once.
    with path.open("ab", buffering=0) as file:
        stream = io.TextIOWrapper(file, write_through=True)
        pids = [_write_lines(MessageLog(stream), number) for number in range(WRITERS)]
        for pid in pids:
            os.waitpid(pid, 0)

    lines = path.read_text().splitlines()
    assert len(lines) == WRITERS * LINES
    assert all(re.fullmatch(r"Q\d-\d+: action=pass domain=mycompany.com", line) for line in lines)


def _write_lines(log: MessageLog, number: int) -> int:
    """Write from a process of its own, as a worker does."""
    pid = os.fork()
    if pid == 0:
        for line in range(LINES):
            log.message(f"Q{number}-{line}", action="pass", domain="mycompany.com")
        os._exit(0)
    return pid


def test_what_mail_says_cannot_make_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("a") as stream:
        MessageLog(stream).message("Q1", reason="x\nQ2: action=pass", domain='a b="c"')

    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("hostile", "escaped"),
    [
        pytest.param("a\rb", r"a\rb", id="carriage-return"),
        pytest.param("a\x1b[31mb", r"a\x1b[31mb", id="escape"),
        pytest.param("a\u2028b", r"a\u2028b", id="line-separator"),
        pytest.param("a\u202eb", r"a\u202eb", id="right-to-left"),
        pytest.param("a\x85b\x00c\x0bd", r"a\x85b\x00c\x0bd", id="other-controls"),
        pytest.param("a\udcffb", r"a\udcffb", id="half-a-surrogate"),
        pytest.param("jürgen@straße.example", "jürgen@straße.example", id="letters-stay"),
    ],
)
def test_what_mail_says_cannot_control_a_terminal(
    hostile: str, escaped: str, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        log = MessageLog(stream)
        log.message("Q1", sender=hostile)
        log.message(hostile, action="pass")
        log.service("service", problem=hostile)
        log.service(hostile)

    first, *others = path.read_text().split("\n")
    assert first == f"Q1: sender={escaped}"
    assert others == [f"{escaped}: action=pass", f"service problem={escaped}", escaped, ""]


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    with Path("/dev/full").open("w", buffering=1) as stream:
        MessageLog(stream).message("Q1", action="pass")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def error_of(run: Callable[[], object]) -> Exception:
    try:
        run()
    except Exception as error:
        return error
    raise AssertionError("no error")


def test_an_error_of_alignd_is_named_by_its_place_in_the_package() -> None:
    error = error_of(lambda: MessageLog(io.TextIOWrapper(io.BytesIO())))

    assert re.fullmatch(r"UnsupportedOperation at telemetry/log\.py:\d+", described(error))


def test_an_error_of_a_library_is_named_by_its_place_in_the_library() -> None:
    error = error_of(lambda: Name((b"x" * 64,)))

    assert re.fullmatch(r"LabelTooLong at dns/name\.py:\d+", described(error))


def test_an_error_is_described_without_its_text() -> None:
    def fail() -> None:
        raise ValueError("From: Julia <julia@customer.example>")

    assert "Julia" not in described(error_of(fail))
