"""Saves the report of `alignd doctor` in a file, and loads it from one."""

from __future__ import annotations

import errno
from pathlib import Path

from alignd.config.whole_file import read_file, replace_file
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
        return read_file(path, MAX_OCTETS, follows_link=False)
    except FileNotFoundError:
        return ReportProblem(ReportTrouble.ABSENT, "")
    except ValueError:  # a NUL in it
        return ReportProblem(ReportTrouble.UNREADABLE, "not a path")
    except OSError as error:
        is_large = error.errno == errno.EFBIG
        trouble = ReportTrouble.MALFORMED if is_large else ReportTrouble.UNREADABLE
        is_link = error.errno == errno.ELOOP
        return ReportProblem(trouble, "a symbolic link" if is_link else str(error.strerror))
