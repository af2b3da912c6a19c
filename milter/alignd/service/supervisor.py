"""Supervises the service: opens the socket, forks the workers that share it, handles signals.

libmilter's threads share one interpreter lock, so more than one core needs more than one process.
The supervisor serves no mail and starts no thread: a fork copies the calling thread alone, and a
lock that another one held would stay locked in the child. It replaces workers that die or hang,
passes reloads on, and reports to systemd.
"""

from __future__ import annotations

import gc
import os
import resource
import secrets
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import sdnotify

from alignd.config.domain_lists import SuffixList
from alignd.config.endpoint import HandedOverSocket
from alignd.mta import libmilter, listening_socket, probe
from alignd.mta.session import Runtime
from alignd.mta.suspects import SUSPECT_SECONDS, Suspects
from alignd.service import child_process
from alignd.service.monitor import Monitor
from alignd.service.setup import LOAD_ERRORS, Setup
from alignd.service.worker import (
    ALIVE,
    DRAIN_SECONDS,
    DRAINING,
    RELOADED,
    SharedMemory,
    Worker,
    room_for_connections,
)
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics, Reload, ServiceState

SILENCE_SECONDS = 10.0
"""A worker without a heartbeat for this long hangs, and is replaced."""
END_SECONDS = DRAIN_SECONDS + 3.0
"""How long workers may take to end before they are killed."""
_RESPAWN_SECONDS = 1.0  # at least, between two rounds of starts
_TICK_SECONDS = 0.25
_PROBE_AGAIN_SECONDS = 1.0  # after a failed probe, which may have met a dying worker
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(slots=True)
class _Child:
    """A worker, as its supervisor sees it."""

    pid: int
    number: int
    """From 0; a replacement takes over the number of the dead worker."""
    heartbeat: int
    """The descriptor to read heartbeats from."""
    last_heartbeat: float
    """Monotonic time."""
    is_ready: bool = False
    is_reloading: bool = False
    is_draining: bool = False


@dataclass(slots=True)
class _PendingSignals:
    """Signals that arrived and were not yet taken; all that a handler does is to add one.

    A handler interrupts the main thread anywhere, so it must neither act nor take a lock.
    """

    numbers: set[int] = field(default_factory=set)

    def take(self, *numbers: int) -> bool:
        found = self.numbers & set(numbers)
        self.numbers -= found
        return bool(found)


class Supervisor:
    """Runs the service until TERM or INT."""

    def __init__(self, load_setup: Callable[[], Setup], log: MessageLog) -> None:
        """Load the setup for the first time.

        Raises:
            ConfigError: the configuration is wrong.
            ResolverError: there is no nameserver to ask.
        """
        self._load_setup = load_setup
        self._setup = load_setup()
        self._log = log
        self._suffixes = SuffixList()
        self._notifier = sdnotify.SystemdNotifier()
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, _Child] = {}
        self._signals = _PendingSignals()
        self._wakeup: tuple[int, int] = (-1, -1)
        self._worker: Worker | None = None
        idle_timeout = self._setup.configuration.milter.idle_timeout
        # No client can guess it, and so hide its mail from the metrics as a probe.
        self._probe_id = secrets.token_hex(16)
        self._sessions = libmilter.Sessions(self._current_runtime, idle_timeout, self._probe_id)
        self._is_ready = False
        cores = len(os.sched_getaffinity(0))
        self._wanted = self._setup.configuration.milter.workers_on(cores)
        self._next_spawn = 0.0
        self._next_probe = 0.0
        self._metrics = Metrics(self._wanted)
        log.count_dropped(self._metrics.of_supervisor().line_dropped)
        self._suspects = Suspects(self._wanted)
        self._monitor = Monitor(self._metrics, log, self._close_inherited)

    def run(self) -> int:
        """Serve until TERM or INT, then let open sessions end; the exit status.

        Raises:
            ListenError: the socket cannot be opened.
        """
        milter = self._setup.configuration.milter
        self._make_room_for(milter.max_connections)
        with listening_socket.open_to_all():
            libmilter.listen(milter.socket, self._sessions)
        listening_socket.share()
        self._watch_signals()
        # All objects so far live as long as the process. Frozen, the garbage collector of a worker
        # does not visit them, which would also write to their pages and so copy them all.
        gc.freeze()
        while not self._signals.take(signal.SIGTERM, signal.SIGINT):
            self._tick()
        return self._stop()

    def _make_room_for(self, connections: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if (room := room_for_connections()) < connections:
            self._log.service(
                "too few descriptors for milter.max_connections: raise LimitNOFILE",
                descriptors=most,
                max_connections=room,
            )

    def _current_runtime(self) -> Runtime:
        assert self._worker is not None, "only workers serve"
        return self._worker.runtime()

    def _watch_signals(self) -> None:
        # Python restarts an interrupted select(). Each signal also writes to this pipe, so that
        # select() returns and the loop acts at once, not at the end of its tick.
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        for number in _SIGNALS:
            signal.signal(number, lambda found, _frame: self._signals.numbers.add(found))

    def _tick(self) -> None:
        self._spawn_missing()
        self._read_heartbeats()
        self._reap()
        self._kill_hung()
        if self._signals.take(signal.SIGHUP):
            self._reload()
        self._notify_systemd()
        self._publish_state(is_ending=False)
        self._monitor.keep_running(self._setup.configuration.metrics.listen)

    def _spawn_missing(self) -> None:
        taken = {child.number for child in self._children.values()}
        if len(taken) < self._wanted and time.monotonic() >= self._next_spawn:
            for number in sorted(set(range(self._wanted)) - taken):
                self._spawn(number)
                if self._next_spawn:  # not the first round
                    self._metrics.worker_replaced()
            # Workers that die at once must not keep the machine busy.
            self._next_spawn = time.monotonic() + _RESPAWN_SECONDS

    def _spawn(self, number: int) -> None:
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        # Runs in the child, on its copy of the supervisor: the setup, the children and the
        # descriptors are those of the moment of the fork.
        def work() -> int:
            os.close(ours)
            self._close_inherited()
            child_process.pin_to_core(number, self._log)
            self._worker = Worker(
                self._setup,
                self._load_setup,
                self._suffixes,
                self._sessions,
                self._log,
                SharedMemory(self._metrics.of_worker(number), self._suspects.of_worker(number)),
                checks_dns=number == 0,
            )
            return self._worker.run(theirs)

        pid = child_process.fork("worker", work, self._log)
        os.close(theirs)
        self._selector.register(ours, selectors.EVENT_READ, pid)
        self._children[pid] = _Child(pid, number, ours, time.monotonic())

    def _close_inherited(self) -> None:
        """In a child: close the supervisor's descriptors.

        While a child has the read end of a sibling's heartbeat open, that sibling gets no EPIPE,
        and so does not see the supervisor's death. The selector is closed and not emptied: its
        epoll set is the supervisor's, too.
        """
        for descriptor in [*self._wakeup, *(child.heartbeat for child in self._children.values())]:
            os.close(descriptor)
        self._selector.close()

    def _read_heartbeats(self) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            try:
                words = os.read(key.fd, 4096)
            except BlockingIOError:
                continue
            child = self._children.get(key.data)
            if child is None:  # the wakeup pipe
                continue
            if not words:
                self._selector.unregister(key.fd)
                continue
            child.last_heartbeat = time.monotonic()
            child.is_ready = child.is_ready or ALIVE in words
            child.is_reloading = child.is_reloading and RELOADED not in words
            child.is_draining = child.is_draining or DRAINING in words

    def _reap(self) -> None:
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._remove(child)
                code = os.waitstatus_to_exitcode(status)
                self._log.service("worker ended", pid=pid, status=code)
                has_failed = code != os.EX_OK
                if count := self._suspects.worker_ended(child.number, has_failed=has_failed):
                    self._log.service(
                        "messages like those that it was judging are rewritten unjudged for a "
                        "while",
                        messages=count,
                        seconds=SUSPECT_SECONDS,
                    )

    def _remove(self, child: _Child) -> None:
        if child.heartbeat in self._selector.get_map():
            self._selector.unregister(child.heartbeat)
        os.close(child.heartbeat)
        self._metrics.worker_ended(child.number)
        del self._children[child.pid]

    def _kill_hung(self) -> None:
        for child in self._children.values():
            if time.monotonic() - child.last_heartbeat > SILENCE_SECONDS:
                self._log.service("worker hangs and is killed", pid=child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.last_heartbeat = time.monotonic()  # kill it once; it is reaped next

    def _reload(self) -> None:
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            setup = self._load_setup()
        except LOAD_ERRORS as error:
            for problem in str(error).splitlines():
                self._log.service(problem)
            self._log.service("reload refused: the old configuration stays in force")
            self._metrics.reloaded(Reload.REFUSED)
            self._notifier.notify("READY=1")
            return
        if setup.configuration.milter != self._setup.configuration.milter:
            self._log.service("the change in [milter] takes effect after a restart")
        self._setup = setup.with_milter_of(self._setup)
        self._metrics.reloaded(Reload.DONE)
        for child in self._children.values():
            child.is_reloading = True
            os.kill(child.pid, signal.SIGHUP)
        self._is_ready = False

    def _publish_state(self, *, is_ending: bool) -> None:
        ready = sum(child.is_ready for child in self._children.values())
        state = ServiceState(self._wanted, ready, is_ending, time.monotonic())
        self._metrics.write_state(state)

    def _notify_systemd(self) -> None:
        children = self._children.values()
        settled = len(children) == self._wanted and all(
            c.is_ready and not c.is_reloading for c in children
        )
        if settled and not self._is_ready:
            self._is_ready = True
            self._notifier.notify("READY=1")
            socket = self._setup.configuration.milter.socket
            self._log.service("ready", socket=str(socket), workers=self._wanted)
        interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 3
        if interval and self._is_ready and time.monotonic() >= self._next_probe:
            # The watchdog is fed only when a message is answered as an MTA would see it.
            alive = probe.answers_message(*listening_socket.address(), self._probe_id)
            if alive:
                self._notifier.notify("WATCHDOG=1")
            self._next_probe = time.monotonic() + (interval if alive else _PROBE_AGAIN_SECONDS)

    def _stop(self) -> int:
        self._notifier.notify("STOPPING=1")
        for child in self._children.values():
            os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        # A socket that systemd keeps stays open, for the next service.
        closed = isinstance(self._setup.configuration.milter.socket, HandedOverSocket)
        while self._children and time.monotonic() < deadline:
            self._read_heartbeats()
            if not closed and all(child.is_draining for child in self._children.values()):
                listening_socket.close_for_all()
                closed = True
            self._reap()
            self._publish_state(is_ending=True)
        self._monitor.stop()
        for child in list(self._children.values()):
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        self._log.service("stopped")
        return os.EX_OK
