"""What the processes of the service share: memory and sockets, which outlive each of them."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.ledger.ring import Rings, RingWriter
from alignd.mta.suspects import JudgementNotes, Suspects
from alignd.service.archive_process import ArchiveSockets, WorkerSockets
from alignd.telemetry.metrics import Metrics, ProcessMetrics
from alignd.telemetry.status_board import PartWriter, StatusBoard


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """What of one worker outlives it."""

    number: int
    """The worker's, from 0; its replacement has the same."""
    metrics: ProcessMetrics
    notes: JudgementNotes
    status: PartWriter
    archive: WorkerSockets
    ring: RingWriter


class Shared:
    """Made by the supervisor before it forks any process."""

    def __init__(self, workers: int) -> None:
        self.metrics = Metrics(workers)
        self.board = StatusBoard(workers)
        self.archive_sockets = ArchiveSockets(workers)
        self.rings = Rings(workers)
        self._suspects = Suspects(workers)

    def of_worker(self, number: int) -> WorkerShare:
        return WorkerShare(
            number,
            self.metrics.of_worker(number),
            self._suspects.of_worker(number),
            self.board.of_worker(number),
            self.archive_sockets.of_worker(number),
            self.rings.writer(number),
        )

    def worker_ended(self, number: int, *, has_failed: bool) -> int:
        """Clear what worker *number* said of itself; how many messages are suspect from now on."""
        self.metrics.worker_ended(number)
        self.board.of_worker(number).clear()
        return self._suspects.worker_ended(number, has_failed=has_failed)
