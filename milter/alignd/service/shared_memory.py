"""The memory that all processes of the service share: what is in it outlives each of them."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.mta.suspects import JudgementNotes, Suspects
from alignd.telemetry.metrics import Metrics, ProcessMetrics
from alignd.telemetry.status_board import PartWriter, StatusBoard


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """What of one worker outlives it."""

    number: int
    """The worker's, from 0; its replacement has the same."""
    metrics: ProcessMetrics
    notes: JudgementNotes
    status: PartWriter


class SharedMemory:
    """Made by the supervisor before it forks any process."""

    def __init__(self, workers: int) -> None:
        self.metrics = Metrics(workers)
        self.board = StatusBoard(workers)
        self._suspects = Suspects(workers)

    def of_worker(self, number: int) -> WorkerMemory:
        return WorkerMemory(
            number,
            self.metrics.of_worker(number),
            self._suspects.of_worker(number),
            self.board.of_worker(number),
        )

    def worker_ended(self, number: int, *, has_failed: bool) -> int:
        """Clear what worker *number* said of itself; how many messages are suspect from now on."""
        self.metrics.worker_ended(number)
        self.board.of_worker(number).clear()
        return self._suspects.worker_ended(number, has_failed=has_failed)
