"""Follows what the service depends on besides its configuration file, and tells of it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from alignd.config.nameservers import RESOLV_CONF, Nameservers, ResolverError
from alignd.config.signer import TableReadError
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.key_file import KeyFileError, ReadKeys, read_keys
from alignd.return_path.keyring import Keyring, KeyState
from alignd.service.setup import Leg, Setup
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import Input, Reload

LOOK_SECONDS = 1.0
"""How often to look whether a file has changed. It is read when it has not changed any more for
that long: a program that writes it in pieces must not be taken at half of its word, and two
changes within a tick of the kernel's clock may have the same time."""

_Status = tuple[int, ...]


class _WatchedFile:
    """Tells when a file has to be read: it has changed, and rests since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Status | None = None
        self._read: _Status | None = None

    def is_due(self) -> bool:
        """Whether it is to be read now; call it every LOOK_SECONDS, and read it if so."""
        before, self._seen = self._seen, _status_of(self._path)
        if self._seen != before or self._seen == self._read:
            return False
        self._read = self._seen
        return True


class NameserverFollower:
    """Reads resolv.conf(5) again when it has changed, as the C library does."""

    def __init__(
        self,
        report: Callable[[Nameservers, Nameservers], None] = lambda _before, _now: None,
        path: Path = RESOLV_CONF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*report* is called with what was in force and what is now, after each reading."""
        self._report = report
        self._path = path
        self._clock = clock
        self._file = _WatchedFile(path)
        self._next_look = -math.inf

    def follow(self, setup: Setup) -> Setup:
        """*setup* with the nameservers to ask now; call it as often as you like.

        A file that names none changes nothing but the problems that are known of it.
        """
        now = self._clock()
        if not setup.follows_system or now < self._next_look:
            return setup
        self._next_look = now + LOOK_SECONDS
        if not self._file.is_due():
            return setup
        nameservers = setup.nameservers.read_again(self._path)
        self._report(setup.nameservers, nameservers)
        return (
            setup if nameservers == setup.nameservers else replace(setup, nameservers=nameservers)
        )


class KeyFollower:
    """Reads the keys of return addresses again when their file has changed, on the return leg.

    On the outbound leg they change with the configuration alone: who changes both has them
    together in force, and a bad file refuses the reload.
    """

    def __init__(
        self,
        report: Callable[[str, ReadKeys, ReadKeys], None] = lambda _path, _before, _now: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*report* is called with a path, and what was in force of it and is now."""
        self._report = report
        self._clock = clock
        self._files: dict[str, _WatchedFile] = {}
        self._next_look = -math.inf

    def follow(self, setup: Setup) -> Setup:
        """*setup* with the keys in force now; call it as often as you like."""
        now = self._clock()
        if setup.leg is not Leg.RETURN or now < self._next_look:
            return setup
        self._next_look = now + LOOK_SECONDS
        self._files = {
            path: self._files.get(path) or _WatchedFile(Path(path)) for path in setup.keys
        }
        # All are asked, since each look counts.
        due = [path for path, file in self._files.items() if file.is_due()]
        read = {path: read_keys(path, setup.keys[path]) for path in due}
        for path, keys in read.items():
            self._report(path, setup.keys[path], keys)
        keys_now = {**setup.keys, **read}
        return setup if keys_now == setup.keys else setup.with_keys(keys_now)


def _status_of(path: Path) -> _Status:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class InputReport:
    """Tells the log and the metrics what was read; in the supervisor, for all processes."""

    def __init__(self, log: MessageLog, metrics: ProcessMetrics) -> None:
        self._log = log
        self._metrics = metrics

    def nameservers(self, before: Nameservers, now: Nameservers) -> None:
        """Tell of a reading of resolv.conf(5): what has changed, and each problem once."""
        self._metrics.read_input(Input.NAMESERVERS, _result(is_good=not now.is_refused))
        if now.problems != before.problems:
            for problem in now.problems:
                self._log.service(str(problem))
        if now.is_refused and not before.is_refused:
            self._log.service("no nameserver can be read: those of before stay in force")
        elif not now.asks_like(before):
            servers = " ".join(map(str, now.servers))
            self._log.service("nameservers changed", nameservers=servers)
        elif before.is_refused and not now.is_refused:
            self._log.service("nameservers are read again, and are those of before")

    def return_keys(self, path: str, before: ReadKeys | None, now: ReadKeys) -> None:
        """Tell of a reading of a key file: what has changed, and each problem once."""
        self._metrics.read_input(Input.RETURN_KEYS, _result(is_good=not now.problem))
        if before is not None and now == before:
            return
        if isinstance(now.keyring, KeyTrouble):
            self._log.service(
                "return keys are not there: mail to their addresses waits at its sender",
                problem=now.problem,
            )
        elif now.problem:
            self._log.service(
                "return keys cannot be read: those of before stay in force", problem=now.problem
            )
        elif before is not None:
            states = " ".join(f"{key.id}:{key.state.value}" for key in now.keyring.keys.values())
            self._log.service("return keys in force", path=path, keys=states)

    def loaded(self, setup: Setup, before: Setup | None = None) -> None:
        """Tell what is in force at start, or after a reload instead of *before*."""
        known = before.nameservers if before else replace(setup.nameservers, problems=())
        self.nameservers(known, setup.nameservers)
        self._metrics.read_input(Input.SIGNING_TABLES, Reload.DONE)
        keys = setup.signer.look_at_key_files()
        self._metrics.read_input(Input.PRIVATE_KEYS, _result(is_good=not keys.missing))
        for problem in keys.missing[:1]:
            self._log.service("a private key cannot be used", problem=problem)
        for path, read in setup.keys.items():
            self.return_keys(path, before.keys.get(path) if before else None, read)
        tables = setup.signer.tables
        self._log.service(
            "in force",
            nameservers=len(setup.nameservers.servers),
            signing_table_entries=len(tables.signing.entries) if tables else 0,
            private_keys=keys.count,
            forbidden_keys=keys.forbidden,
            missing_keys=len(keys.missing),
            **_number_of_return_keys(setup),
        )

    def refused(self, error: Exception) -> None:
        """Count what made a reload fail, if it is one of the inputs."""
        if isinstance(error, TableReadError):
            self._metrics.read_input(Input.SIGNING_TABLES, Reload.REFUSED)
        elif isinstance(error, ResolverError):
            self._metrics.read_input(Input.NAMESERVERS, Reload.REFUSED)
        elif isinstance(error, KeyFileError):
            self._metrics.read_input(Input.RETURN_KEYS, Reload.REFUSED)


def _number_of_return_keys(setup: Setup) -> dict[str, int]:
    """How many keys of return addresses there are in each state; nothing where those are off."""
    if not setup.keys:
        return {}
    keyrings = [each.keyring for each in setup.keys.values()]
    keys = [key for each in keyrings if isinstance(each, Keyring) for key in each.keys.values()]
    return {
        f"return_keys_{state.value}": sum(key.state is state for key in keys) for state in KeyState
    }


def _result(*, is_good: bool) -> Reload:
    return Reload.DONE if is_good else Reload.REFUSED
