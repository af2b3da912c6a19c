"""The process that owns the archive of DNS answers: answers workers, and writes in a thread.

Mail does not need it. Its main thread touches memory and sockets only, so it goes on while the
disk stalls.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alignd.config.settings import DnsOptions
from alignd.resolver.archive.datagrams import (
    MAX_DATAGRAM,
    Reply,
    decode_answers,
    decode_question,
    encode_reply,
)
from alignd.resolver.archive.memory import ArchiveMemory, Moment
from alignd.resolver.archive.writer import ArchiveWriter
from alignd.service.processes.auxiliary_process import BEAT_SECONDS
from alignd.service.processes.signals import PendingSignals
from alignd.service.processes.trouble import Trouble
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import ArchiveState, Task

_LAST_SECONDS = 1.5  # for what waits to be written at the end; then the supervisor kills it
_TURN = 64  # datagrams of a socket, then it is the turn of the others
_PRIVATE = 0o077  # umask


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """What the process is started with; it is replaced when they change."""

    path: Path
    keep_seconds: float

    @classmethod
    def of(cls, settings: DnsOptions, environment: Mapping[str, str]) -> ArchiveOptions | None:
        """The file that keeps DNS answers over restarts, if there is one."""
        if settings.archive:
            return cls(Path(settings.archive), settings.stale)
        state = environment.get("STATE_DIRECTORY")  # systemd.exec(5), StateDirectory=
        return cls(Path(state) / "dns.sqlite", settings.stale) if state else None


@dataclass(frozen=True, slots=True)
class WorkerSockets:
    """Where a worker reaches the archive."""

    answers: socket.socket
    questions: socket.socket


class ArchiveSockets:
    """The sockets between the archive and all workers.

    The supervisor makes them before it forks any, and keeps both ends: so they outlive whoever
    has them, and neither side notices that the other was replaced.
    """

    def __init__(self, workers: int) -> None:
        self.answers, self._for_answers = _pair()
        ends = [_pair() for _ in range(workers)]
        self.questions = [end for end, _ in ends]
        """One for each worker, so that each gets its replies."""
        self._for_questions = [end for _, end in ends]

    def of_worker(self, number: int) -> WorkerSockets:
        return WorkerSockets(self._for_answers, self._for_questions[number])


def serve_archive(
    options: ArchiveOptions,
    beat: Callable[[], None],
    sockets: ArchiveSockets,
    metrics: ProcessMetrics,
    log: MessageLog,
) -> None:
    """Serve until TERM, and write what waits then; *beat* is called every BEAT_SECONDS."""
    os.umask(_PRIVATE)
    signals = PendingSignals()
    signals.watch()
    server = ArchiveServer(options, sockets, metrics, log)
    server.show_state()
    while not signals.take(signal.SIGTERM):
        beat()
        server.serve_for(BEAT_SECONDS, signals.wakeup)
        signals.clear_wakeup()
        server.show_state()
    server.end()


class ArchiveServer:
    """Answers workers from memory."""

    def __init__(
        self,
        options: ArchiveOptions,
        sockets: ArchiveSockets,
        metrics: ProcessMetrics,
        log: MessageLog,
    ) -> None:
        self._sockets = sockets
        self._metrics = metrics
        self._log = log
        self._memory = ArchiveMemory(options.keep_seconds)
        self._writer = ArchiveWriter(
            options.path, options.keep_seconds, self._memory, log.service, self._note_failure
        )
        self._thread: threading.Thread | None = None
        self._trouble = Trouble(
            log, "DNS answers are not archived", "DNS answers are archived again"
        )
        self._serve: dict[int, Callable[[], bool]] = {
            end.fileno(): partial(self._reply, end) for end in sockets.questions
        }
        self._serve[sockets.answers.fileno()] = self._take_answers

    def serve_for(self, seconds: float, wakeup: int) -> None:
        """Serve for so long, or until *wakeup* can be read."""
        poll = select.poll()
        for descriptor in (*self._serve, wakeup):
            poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                if descriptor == wakeup:
                    return
                self._take_turn(self._serve[descriptor])

    def show_state(self) -> None:
        """Have the writer run, set the metrics, and log when it begins to fail and when it ends.

        Here and not in the writer's thread, which may wait for the disk.
        """
        problem = self._why_not_running() or self._writer.problem()
        self._trouble.look(problem)
        if problem:
            state = ArchiveState.FAILING
        else:
            state = ArchiveState.GOOD if self._writer.has_read else ArchiveState.OPENING
        self._metrics.set_archive(state, len(self._memory))

    def end(self) -> None:
        """Write what waits, as far as that is possible in a moment."""
        self._take_turn(self._take_answers)
        self._writer.end()
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)

    def _why_not_running(self) -> str:
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._writer.run, name="dns archive", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                return str(error)
            self._thread = thread
        return ""

    def _take_turn(self, serve: Callable[[], bool]) -> None:
        """Take what waits on a socket; whatever it is, the next datagram is served."""
        for _ in range(_TURN):
            try:
                if not serve():
                    return
            except BlockingIOError:  # nothing more is there
                return
            except Exception as error:
                self._note_failure(error)

    def _take_answers(self) -> bool:
        datagram = self._sockets.answers.recv(MAX_DATAGRAM, socket.MSG_DONTWAIT)
        now = Moment.now()
        for answer in decode_answers(datagram):
            lost = self._memory.put(answer.question, answer.response, answer.heard, now)
            for _ in range(lost):
                self._metrics.answer_not_archived()
        return True

    def _reply(self, end: socket.socket) -> bool:
        number, question = decode_question(end.recv(MAX_DATAGRAM, socket.MSG_DONTWAIT))
        # In this order: what is read meanwhile must not be taken for absent.
        has_read = self._writer.has_read
        response = self._memory.get(question, Moment.now())
        end.send(encode_reply(number, Reply(response, has_read)), socket.MSG_DONTWAIT)
        return True

    def _note_failure(self, error: Exception) -> None:
        self._metrics.task_failed(Task.ARCHIVE)
        self._log.once_a_minute("DNS archive goes on after", error=described(error))


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs
