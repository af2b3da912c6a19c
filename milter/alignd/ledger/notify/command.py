"""Tells a program of an event: JSON on its standard input, for a limited time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from alignd.ledger.event import Event
from alignd.ledger.notify.payload import payload, sentence
from alignd.ledger.notify.target import NotTakenError
from alignd.mail.printable import printable

PATIENCE = 30.0
"""Seconds that the program may take."""
_LOOK_SECONDS = 0.25  # how often it is seen that nobody wants to wait any more
_MOST_READ = 65_536  # octets at once: all that a pipe holds
_MOST_KEPT = 4096  # octets of its output
_MOST_SHOWN = 160  # characters of it
_KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TZ", "USER")
"""What it gets of the environment: not the rest, which may have passwords of ours."""


class Command:
    """One program with its arguments."""

    name = "command"

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], patience: float = PATIENCE
    ) -> None:
        """*environment* is the service's."""
        self._command = tuple(command)
        self._environment = {name: environment[name] for name in _KEPT if name in environment}
        self._patience = patience

    def tell(self, event: Event, ended: threading.Event) -> None:
        """Run it once, and kill it with all that it has started when its time is over."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        with open(reader, "rb", buffering=0) as output:
            process = self._started(event, writer)
            text, is_in_time = "", False
            try:
                text, is_in_time = _output_of(process, output.fileno(), self._patience, ended)
            finally:
                if not is_in_time:
                    _kill(process)
                process.wait()
        if not is_in_time:
            raise NotTakenError(f"it took longer than {self._patience:g} s, and was killed")
        if process.returncode:
            raise NotTakenError(_failure(process.returncode, text))

    def _started(self, event: Event, writer: int) -> subprocess.Popen[bytes]:
        """Start it; *writer*, where its output goes, is then its own alone."""
        said = os.memfd_create("event", os.MFD_CLOEXEC)  # so that nobody waits for it to read
        try:
            os.write(said, payload(event).encode())
            os.lseek(said, 0, os.SEEK_SET)
            return subprocess.Popen(  # noqa: S603
                self._command,
                stdin=said,
                stdout=writer,
                stderr=writer,
                cwd="/",
                env=self._environment | _variables(event),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else str(error)
            raise NotTakenError(f"{self._command[0]} cannot be run: {problem}") from error
        finally:
            os.close(said)
            os.close(writer)


def _variables(event: Event) -> dict[str, str]:
    return {
        "ALIGND_EVENT": event.kind.value,
        "ALIGND_EVENT_ID": event.id,
        "ALIGND_DOMAIN": event.domain,
        "ALIGND_TENANT": event.tenant,
        "ALIGND_TEXT": sentence(event),
    }


def _output_of(
    process: subprocess.Popen[bytes], output: int, patience: float, ended: threading.Event
) -> tuple[str, bool]:
    """The end of what it writes, and whether it has ended in time.

    What it has started may go on, and keep the pipe.
    """
    deadline = time.monotonic() + patience
    text, is_open = b"", True
    end = os.pidfd_open(process.pid)
    try:
        while not ended.is_set() and (left := deadline - time.monotonic()) > 0:
            watched = [end, output] if is_open else [end]
            ready, _, _ = select.select(watched, [], [], min(left, _LOOK_SECONDS))
            if output in ready:
                read = os.read(output, _MOST_READ)
                is_open = bool(read)
                text = (text + read)[-_MOST_KEPT:]
            if end in ready:
                return text.decode(errors="replace"), True
    finally:
        os.close(end)
    return "", False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it with what it has started: its process group is its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _failure(status: int, output: str) -> str:
    how = f"signal {-status}" if status < 0 else f"status {status}"
    lines = output.strip().split("\n")
    said = printable(lines[-1].strip())[:_MOST_SHOWN]  # where programs say why
    return f"it ended with {how}: {said}" if said else f"it ended with {how}"
