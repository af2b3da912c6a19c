"""Reads key files, and refuses one that others than the service can read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from alignd.config.file import ConfigError, ConfigProblem
from alignd.config.settings import Configuration
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.keyring import Keyring, KeyringError

_MAX_OCTETS = 65_536
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
"""What others and the group must not be allowed. The group may read: two services share it."""


class KeyFileError(ConfigError):
    """Key files cannot be used."""


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
        problem = "; ".join(map(str, error.problems))
    if before is None or isinstance(before.keyring, KeyTrouble):
        return ReadKeys(KeyTrouble(problem), problem)
    return ReadKeys(before.keyring, problem)


def load_keyrings(
    configuration: Configuration, *, strict: bool
) -> dict[str, Keyring | KeyTrouble]:
    """Read all key files of *configuration*; the result has them by their paths.

    Raises:
        KeyFileError: *strict*, and some cannot be used. Else they are a KeyTrouble.
    """
    keyrings: dict[str, Keyring | KeyTrouble] = {}
    problems: list[ConfigProblem] = []
    # In the order of the configuration, each once.
    for path in dict.fromkeys(each.return_path.keys for each in configuration.all_settings):
        if not path:
            continue
        try:
            keyrings[path] = load_keyring(path)
        except KeyFileError as error:
            problems += error.problems
            keyrings[path] = KeyTrouble("; ".join(map(str, error.problems)))
    if strict and problems:
        raise KeyFileError(tuple(problems))
    return keyrings


def load_keyring(path: str) -> Keyring:
    """Read the keys in the file at *path*.

    Raises:
        KeyFileError: it cannot be read, everybody can read it, or a line is wrong.
    """
    try:
        return Keyring.parse(read_key_file(path))
    except KeyringError as error:
        problems = (ConfigProblem(path, each.line, each.text) for each in error.problems)
        raise KeyFileError(tuple(problems)) from error


def read_key_file(path: str) -> str:
    """Read the text of the key file at *path*, without looking at what it says.

    Raises:
        KeyFileError: it cannot be read, everybody can read it, or it is no text.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _error(path, 1, "not a file")
            if status.st_mode & _OTHERS:
                mode = stat.S_IMODE(status.st_mode)
                problem = f"its mode is {mode:04o}: others than the service can use it"
                raise _error(path, 1, f"{problem}; `chmod 0640 {path}`, or 0600")
            content = file.read(_MAX_OCTETS + 1)
    except OSError as error:
        raise _error(path, 1, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise _error(path, 1, f"cannot be read: {error}") from error
    if len(content) > _MAX_OCTETS:
        raise _error(path, 1, f"not a file of keys: it has more than {_MAX_OCTETS} octets")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    # Out here, so that an error that has all of the file in it is no part of this one.
    raise _error(path, line, "not a file of keys: not UTF-8 text")


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO would wait for a writer


def _error(path: str, line: int, text: str) -> KeyFileError:
    return KeyFileError((ConfigProblem(path, line, text),))
