"""Puts the status document together: the supervisor and each worker write their part of it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter

from alignd.telemetry.board import Board, BoardError, BoardRow
from alignd.telemetry.metrics import Health, Metrics, ServiceState
from alignd.telemetry.status import (
    Counted,
    MapPart,
    Status,
    StatusError,
    SupervisorPart,
    WorkerPart,
)
from alignd.telemetry.words import Reload

Part = TypeVar("Part", SupervisorPart, WorkerPart, MapPart)


class StatusBoard:
    """The board with the parts; made by the supervisor before it forks any."""

    def __init__(self, workers: int) -> None:
        self._board = Board(workers + 2)
        self._workers = workers

    def of_worker(self, number: int) -> PartWriter:
        """Where worker *number*, from 0, writes; its replacement continues there."""
        return PartWriter(self._board.row(number))

    def of_supervisor(self) -> PartWriter:
        return PartWriter(self._board.row(self._workers))

    def of_map(self) -> PartWriter:
        return PartWriter(self._board.row(self._workers + 1))

    def status(self, metrics: Metrics, time: float) -> Status:
        """All parts together; *time* is the Unix time.

        Raises:
            StatusError: the supervisor has not written its part.
        """
        supervisor = self._read(self._workers, SupervisorPart)
        if supervisor is None:
            raise StatusError("the supervisor has not said yet what is in force")
        workers = (self._read(number, WorkerPart) for number in range(self._workers))
        return Status(
            time,
            supervisor,
            tuple(worker for worker in workers if worker is not None),
            _counted(metrics.read_state(), metrics.health()),
            self._read(self._workers + 1, MapPart),
        )

    def _read(self, number: int, kind: type[Part]) -> Part | None:
        try:
            text = self._board.row(number).read()
        except BoardError:
            return None  # the next request meets it at rest
        return TypeAdapter(kind).validate_json(text) if text else None


class PartWriter:
    """Writes the part of one process on the board, when it has changed."""

    def __init__(self, row: BoardRow) -> None:
        self._row = row
        self._last: SupervisorPart | WorkerPart | MapPart | None = None

    def write(self, part: SupervisorPart | WorkerPart | MapPart) -> None:
        """Write *part*.

        Raises:
            BoardError: it is too long.
        """
        if part != self._last:
            self._row.write(TypeAdapter(type(part)).dump_json(part))
            self._last = part

    def clear(self) -> None:
        """Say nothing: the process has ended."""
        self._row.clear()
        self._last = None


def _counted(state: ServiceState, health: Health) -> Counted:
    return Counted(
        workers_wanted=state.workers_wanted,
        workers_ready=state.workers_ready,
        is_ending=state.is_ending,
        worker_restarts=health.worker_restarts,
        reload_was_refused=health.last_reload is Reload.REFUSED,
        refused_inputs=health.refused_inputs,
        archive=health.archive,
        archive_answers=health.archive_answers,
        archive_dropped=health.archive_dropped,
        log_lines_dropped=health.log_lines_dropped,
        background_failures=health.background_failures,
    )
