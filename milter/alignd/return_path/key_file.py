"""Reads key files, and refuses one that others than the service can read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from alignd.config.file import ConfigError, ConfigProblem
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.keyring import Keyring, KeyringError

_MAX_OCTETS = 65_536
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
"""What others and the group must not be allowed. The group may read: two services share it."""


class KeyFileError(ConfigError):
    """A key file cannot be used."""


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """What is in force of a key file that may be bad for a while."""

    keyring: Keyring | KeyTrouble
    problem: str = ""
    """What is wrong with the file now; the keys are those of before then, if there were any."""


def read_keys(path: str, before: ReadKeys | None) -> ReadKeys:
    """Read the keys in the file at *path*; those of *before* stay in force if they are bad.

    So no address that was good is refused for good: a key that is new is not known yet, and mail
    to its addresses waits at the sender.
    """
    try:
        return ReadKeys(load_keyring(path))
    except KeyFileError as error:
        problem = "; ".join(str(error).splitlines())
        keyring = KeyTrouble(problem) if before is None else before.keyring
        return ReadKeys(
            KeyTrouble(problem) if isinstance(keyring, KeyTrouble) else keyring, problem
        )


def load_keyring(path: str) -> Keyring:
    """Read the keys in the file at *path*.

    Raises:
        KeyFileError: it cannot be read, everybody can read it, or a line is wrong.
    """
    try:
        # A FIFO would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _problem(path, "not a file")
            if status.st_mode & _OTHERS:
                mode = stat.S_IMODE(status.st_mode)
                problem = f"its mode is {mode:04o}: others than the service can use it"
                raise _problem(path, f"{problem}; `chmod 0640 {path}`, or 0600")
            content = file.read(_MAX_OCTETS + 1)
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror}") from error
    if len(content) > _MAX_OCTETS or not content.isascii():
        raise _problem(path, "not a file of keys")
    try:
        return Keyring.parse(content.decode())
    except KeyringError as error:
        problems = (ConfigProblem(path, each.line, each.text) for each in error.problems)
        raise KeyFileError(tuple(problems)) from error


def _problem(path: str, text: str) -> KeyFileError:
    return KeyFileError((ConfigProblem(str(Path(path)), 1, text),))
