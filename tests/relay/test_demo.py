"""The demo keeps its promises, and leaves nothing however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from demo.__main__ import PROGRAMS
from demo.play import PLAY
from tests.lab.namespaces import directory_of
from tests.lab.places import ROOT
from tests.lab.processes import missing_programs
from tests.lab.readiness import wait_until

LIMIT = 120


def obstacle() -> str | None:
    """Say why the demo cannot run here, or None."""
    if os.geteuid() != 0:
        return "the demo needs root for a network of its own"
    if missing := missing_programs(PROGRAMS):
        return f"not installed: {', '.join(missing)}"
    return None


pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]


@contextmanager
def running_demo() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def inhabitants(process: subprocess.Popen[str]) -> list[str]:
    """Return the processes that see the files of this demo, which those outside do not."""
    directory = str(directory_of(process.pid))
    found = []
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):
            if directory in mounts.read_text():
                found.append(mounts.parent.name)
    return found


def test_all_acts_come_out_as_promised_and_nothing_is_left() -> None:
    with running_demo() as demo:
        output, _ = demo.communicate(timeout=LIMIT)

    assert demo.returncode == 0, output
    summary = output[output.index("All in all") :].splitlines()[1:]
    promises = [f"Act {number}: {act.promise}" for number, act in enumerate(PLAY, start=1)]
    assert [line.strip() for line in summary] == [f"ok  {promise}" for promise in promises]
    assert inhabitants(demo) == []
    assert not directory_of(demo.pid).exists()


@pytest.mark.parametrize(
    ("send", "end", "status"),
    [
        # Ctrl-C reaches every process of the terminal's foreground.
        pytest.param(os.killpg, signal.SIGINT, 130, id="interrupted"),
        pytest.param(os.kill, signal.SIGTERM, 143, id="terminated"),
        pytest.param(os.kill, signal.SIGKILL, -signal.SIGKILL, id="killed"),
    ],
)
def test_nothing_is_left_when_it_is(
    send: Callable[[int, int], None], end: signal.Signals, status: int
) -> None:
    with running_demo() as demo:
        output = demo.stdout
        assert output is not None
        wait_until(lambda: "The relay" in output.readline(), "the relay to run", LIMIT)
        assert inhabitants(demo) != []

        send(demo.pid, end)

        assert demo.wait(timeout=LIMIT) == status, output.read()
        wait_until(lambda: not inhabitants(demo), "the processes of the demo to end")
        with suppress(FileNotFoundError):
            # Who is killed cannot remove it, but what was in it went with the namespaces.
            directory_of(demo.pid).rmdir()
            assert end is signal.SIGKILL
