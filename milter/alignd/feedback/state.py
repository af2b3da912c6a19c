"""Keeps the place in a log and what was counted up to it, in one file that is never half."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alignd.config.whole_file import replace_file
from alignd.feedback.file import Position
from alignd.feedback.outbox import Outbox
from alignd.feedback.tally import Tally

_VERSION = 1
_PRIVATE = 0o600
_MAX_OCTETS = 64 * 1024 * 1024


class StateError(Exception):
    """The file is no state; the message says why."""


@dataclass(slots=True)
class State:
    """Where reading goes on, and the counts of all before.

    Both are in one file, so that a line that counts once counts once after a crash, too.
    """

    log: str
    """The path of the log; empty for the journal."""
    position: Position | None = None
    cursor: str = ""
    last: float | None = None
    """The time of the last entry that said something."""
    tally: Tally = field(default_factory=Tally)
    begun: float | None = None
    """Replies before that time do not count; None where all do."""
    outbox: Outbox | None = None
    """What waits for the ledger; None where nothing is recorded."""

    @property
    def is_new(self) -> bool:
        """Whether nothing was read yet."""
        return self.position is None and not self.cursor


def load(path: Path, log: str) -> State:
    """Load the state of *log* from *path*; an empty one if there is no such file.

    Raises:
        StateError: it is no state, or that of another log.
        OSError: it cannot be read.
    """
    state = load_any(path, log)
    if state.log != log:
        raise StateError(f"{path}: the state of another log: {state.log or 'the journal'}")
    return state


def load_any(path: Path, log: str) -> State:
    """Load the state at *path*, of whatever log; an empty one of *log* if there is no such file.

    Raises:
        StateError: it is no state.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_OCTETS)
    except FileNotFoundError:
        return State(log)
    try:
        values = json.loads(data)
        state = _state_of(values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StateError(f"{path}: no state of `alignd feedback`") from error
    return state


def save(path: Path, state: State) -> None:
    """Replace the file at *path*, as a whole.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    values = {
        "version": _VERSION,
        "log": state.log,
        "position": asdict(state.position) if state.position else None,
        "cursor": state.cursor,
        "last": state.last,
        "tally": state.tally.as_values(),
        "begun": state.begun,
        "outbox": state.outbox and state.outbox.as_values(),
    }
    replace_file(path, json.dumps(values).encode("ascii"), _PRIVATE)


def _state_of(values: Any) -> State:
    if values["version"] != _VERSION:
        raise ValueError("another version")
    found = values["position"]
    position = found and Position(
        int(found["inode"]), int(found["offset"]), int(found["checksum"])
    )
    outbox = values.get("outbox")
    return State(
        str(values["log"]),
        position,
        str(values["cursor"]),
        _time(values["last"]),
        Tally.of_values(values["tally"]),
        _time(values.get("begun")),
        outbox and Outbox.of_values(outbox),
    )


def _time(value: Any) -> float | None:
    return None if value is None else float(value)
