"""Saves the report of `alignd doctor` in a file, and loads it from one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from alignd.config.whole_file import replace_file
from alignd.doctor.report.document import (
    MAX_OCTETS,
    ReportProblem,
    ReportTrouble,
    SavedReport,
    parse_report,
)

_MODE = 0o640
"""The group of the directory may read: findings name domains, files and addresses of the relay."""


class SaveError(Exception):
    """The report cannot be saved: its text says why. What was saved before is still there."""


def save_report(path: Path, text: str) -> None:
    """Put *text* in place of the report at *path*, whole, also if the machine dies meanwhile.

    Raises:
        SaveError: the directory is not there or not writable, or the report is too large.
    """
    content = text.encode()
    if len(content) > MAX_OCTETS:
        raise SaveError(f"{path}: not saved: the report has more than {MAX_OCTETS} octets")
    try:
        replace_file(path, content, _MODE)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise SaveError(f"{path}: not saved: {reason}") from error


def load_report(path: str) -> SavedReport | ReportProblem:
    """Read the report at *path*; empty where the configuration names none."""
    if not path:
        return ReportProblem(ReportTrouble.OFF, "")
    content = _read(path)
    found = parse_report(content) if isinstance(content, bytes) else content
    if isinstance(found, ReportProblem):
        text = f"{path}: {found.text}" if found.text else path
        return ReportProblem(found.trouble, text)
    return found


def _read(path: str) -> bytes | ReportProblem:
    try:
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ReportProblem(ReportTrouble.UNREADABLE, "not a file")
            content = file.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        return ReportProblem(ReportTrouble.ABSENT, "")
    except (OSError, ValueError) as error:
        return ReportProblem(ReportTrouble.UNREADABLE, _reason(error))
    if len(content) > MAX_OCTETS:
        return ReportProblem(ReportTrouble.MALFORMED, f"more than {MAX_OCTETS} octets")
    return content


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "not a path"  # a NUL in it
    return "a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)


def _open(path: str, flags: int) -> int:
    # A FIFO would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
