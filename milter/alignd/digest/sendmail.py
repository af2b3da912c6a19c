"""Hands a message to sendmail, as every mail server for Unix comes with one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from alignd.mail.printable import printable

PATIENCE = 60.0
"""Seconds that it may take."""
_MOST_SHOWN = 400  # octets of what it says


def hand_over(
    program: str,
    sender: str,
    recipients: Sequence[str],
    message: bytes,
    patience: float = PATIENCE,
) -> str:
    """Run *program* with *message*; return what went wrong, empty if nothing did."""
    # -i: a line with one dot does not end it. No shell reads the addresses, and none is an option.
    command = (program, "-i", "-f", sender, "--", *recipients)
    given, said = _memory(message.replace(b"\r\n", b"\n")), _memory(b"")
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=given,
            stdout=said,
            stderr=said,
            cwd="/",
            start_new_session=True,
        )
        status = _status(process, patience)
        return _problem(program, status, _read(said), patience)
    except OSError as error:
        return f"{program} cannot be run: {error.strerror}"
    finally:
        os.close(given)
        os.close(said)


def _memory(content: bytes) -> int:
    """A file without a name; who reads it waits for nobody, as he would at a pipe."""
    file = os.memfd_create("digest", os.MFD_CLOEXEC)
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _read(file: int) -> str:
    return printable(os.pread(file, _MOST_SHOWN, 0).decode(errors="replace").strip())


def _status(process: subprocess.Popen[bytes], patience: float) -> int | None:
    """How it ended; None if it was killed with all that it had started."""
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _problem(program: str, status: int | None, said: str, patience: float) -> str:
    if status == 0:
        return ""
    detail = f": {said}" if said else ""
    if status is None:
        return f"{program} took longer than {patience:g} s, and was killed{detail}"
    if status < 0:
        return f"{program} was ended by signal {-status}{detail}"
    return f"{program} ended with status {status}{detail}"
