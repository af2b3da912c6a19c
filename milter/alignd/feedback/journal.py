"""Reads systemd's journal through journalctl, which is started again where it ends."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence

MAX_LINE = 262_144
"""Octets of an entry: a MESSAGE that is not UTF-8 is a list of numbers."""
_CHUNK = 262_144
_RESTART_SECONDS = 5.0
_END_SECONDS = 5.0
# Postfix's lines have the facility mail; those of alignd come by way of standard error.
_MATCHES = (
    "SYSLOG_FACILITY=2",
    "+",
    "SYSLOG_IDENTIFIER=alignd",
    "+",
    "SYSLOG_IDENTIFIER=alignd-return",
)
COMMAND = (
    "journalctl",
    "--output=json",
    "--output-fields=MESSAGE,SYSLOG_IDENTIFIER",
    "--quiet",
    "--no-pager",
    "--all",
)


class FollowedJournal:
    """The lines of `journalctl -o json`, each an entry.

    *cursor* says behind which entry to begin whenever journalctl is started: the caller knows
    best what it has taken.

    Raises:
        OSError: journalctl cannot be started.
    """

    def __init__(
        self,
        cursor: Callable[[], str],
        *,
        follow: bool,
        since: float | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._cursor = cursor
        self._is_followed = follow
        self._since = since
        self._command = command
        self._rest = b""
        self._is_skipping = False
        self._restart_at = 0.0
        self._process: subprocess.Popen[bytes] | None = self._started()
        self.exit_status: int | None = None
        """Of the last journalctl that has ended."""
        self.ends = 0
        """How often one has."""

    def read(self, seconds: float) -> list[bytes] | None:
        """The next lines, after at most so many *seconds*; None where no more will come."""
        if self._process is None:
            if time.monotonic() < self._restart_at:
                time.sleep(min(seconds, max(0.0, self._restart_at - time.monotonic())))
                return []
            self._process = self._started()
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], seconds)[0]:
            return []
        if data := os.read(descriptor, _CHUNK):
            return self._lines(data)
        self.ends += 1
        self.close()
        if not self._is_followed:
            return None
        self._restart_at = time.monotonic() + _RESTART_SECONDS
        return []

    def close(self) -> None:
        """End journalctl, if it runs."""
        process, self._process = self._process, None
        self._rest, self._is_skipping = b"", False
        if process is None:
            return
        assert process.stdout is not None
        process.stdout.close()
        if self._is_followed:
            process.terminate()
        try:
            self.exit_status = process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            self.exit_status = process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [*self._command]
        if cursor := self._cursor():
            command.append(f"--after-cursor={cursor}")
        elif self._since is not None:
            command.append(f"--since=@{self._since:.0f}")
        if self._is_followed:
            # Else --follow implies --boot: what was logged before the machine started again, and
            # the first entry since, would be passed over (systemd 252).
            command += ["--follow", "--merge", "--lines=all"]
        # The command is a constant, and the cursor is one argument.
        return subprocess.Popen(  # noqa: S603
            [*command, *_MATCHES], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )

    def _lines(self, data: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines and self._is_skipping:
            del lines[0]
            self._is_skipping = False
        if len(self._rest) > MAX_LINE:
            self._rest, self._is_skipping = b"", True
        return lines
