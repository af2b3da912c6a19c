"""The life of the service: one socket, the workers that share it, and the signals to all of them.

libmilter's threads share one interpreter lock, so more than one core needs more than one process.
The supervisor opens the socket, forks the workers before any thread starts, and serves no mail
itself: it replaces workers that die or fall silent, and tells systemd how things are.
"""

from __future__ import annotations

import gc
import os
import resource
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
from alignd.service import child_process
from alignd.service.monitor import Monitor
from alignd.service.worker import (
    ALIVE,
    DRAIN_SECONDS,
    DRAINING,
    LOAD_ERRORS,
    RELOADED,
    Setup,
    Worker,
    room_for_connections,
)
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Life, Metrics, Reload

SILENCE_SECONDS = 10.0
"""A worker that says nothing for so long hangs, and is replaced."""
END_SECONDS = DRAIN_SECONDS + 3.0
"""How long workers may take to end, before they are made to."""
_RESPAWN_SECONDS = 1.0  # at the least between two starts in the same place
_TICK_SECONDS = 0.25
_PROBE_AGAIN_SECONDS = 1.0  # after a probe that met nobody, or a worker that died just then
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(slots=True)
class _Child:
    """What the supervisor knows of one worker."""

    pid: int
    number: int
    """Its place among the workers; one that comes for another takes it over."""
    heartbeat: int
    heard: float
    is_ready: bool = False
    reloading: bool = False
    draining: bool = False


@dataclass(slots=True)
class _Received:
    """Signals since the last look; handlers do nothing but note them."""

    numbers: set[int] = field(default_factory=set)

    def take(self, *numbers: int) -> bool:
        found = self.numbers & set(numbers)
        self.numbers -= found
        return bool(found)


class Supervisor:
    """Runs the service until TERM or INT."""

    def __init__(self, load: Callable[[], Setup], log: MessageLog) -> None:
        """Load the setup a first time.

        Raises:
            ConfigError: the configuration is wrong.
            ResolverError: there is no nameserver to ask.
        """
        self._load = load
        self._setup = load()
        self._log = log
        self._suffixes = SuffixList()
        self._notifier = sdnotify.SystemdNotifier()
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, _Child] = {}
        self._received = _Received()
        self._wakeup: tuple[int, int] = (-1, -1)
        self._worker: Worker | None = None
        idle_timeout = self._setup.configuration.milter.idle_timeout
        self._sessions = libmilter.Sessions(self._current_runtime, idle_timeout)
        self._is_ready = False
        cores = len(os.sched_getaffinity(0))
        self._wanted = self._setup.configuration.milter.workers_on(cores)
        self._next_spawn = 0.0
        self._next_probe = 0.0
        self._metrics = Metrics(self._wanted)
        self._monitor = Monitor(self._metrics, log, self._let_go)

    def run(self) -> int:
        """Serve until TERM or INT, let open sessions end, and return the exit status.

        Raises:
            ListenError: the socket cannot be opened.
        """
        milter = self._setup.configuration.milter
        self._make_room_for(milter.max_connections)
        with listening_socket.open_to_all():
            libmilter.listen(milter.socket, self._sessions)
        listening_socket.share()
        self._watch_signals()
        # What is loaded by now stays: workers need not look through it for garbage, nor copy it.
        gc.freeze()
        while not self._received.take(signal.SIGTERM, signal.SIGINT):
            self._tick()
        return self._end()

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
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        for number in _SIGNALS:
            signal.signal(number, lambda found, _frame: self._received.numbers.add(found))

    def _tick(self) -> None:
        self._spawn_missing()
        self._listen_to_children()
        self._reap()
        self._replace_silent()
        if self._received.take(signal.SIGHUP):
            self._reload()
        self._tell_systemd()
        self._show_life(is_ending=False)
        self._monitor.tend(self._setup.configuration.metrics.listen)

    def _spawn_missing(self) -> None:
        taken = {child.number for child in self._children.values()}
        if len(taken) < self._wanted and time.monotonic() >= self._next_spawn:
            for number in sorted(set(range(self._wanted)) - taken):
                self._spawn(number)
                if self._next_spawn:  # these are not the first
                    self._metrics.worker_replaced()
            # A worker that dies at once must not keep the machine busy.
            self._next_spawn = time.monotonic() + _RESPAWN_SECONDS

    def _spawn(self, number: int) -> None:
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def work() -> int:
            os.close(ours)
            self._let_go()
            child_process.keep_to_a_core(number, self._log)
            self._worker = Worker(
                self._setup,
                self._load,
                self._suffixes,
                self._sessions,
                self._log,
                self._metrics.of_worker(number),
                # The one that comes for it takes this over, too.
                advises=number == 0,
            )
            return self._worker.run(theirs)

        pid = child_process.fork("worker", work, self._log)
        os.close(theirs)
        self._selector.register(ours, selectors.EVENT_READ, pid)
        self._children[pid] = _Child(pid, number, ours, time.monotonic())

    def _let_go(self) -> None:
        """In a new process: close what is the supervisor's."""
        for descriptor in [*self._wakeup, *(child.heartbeat for child in self._children.values())]:
            os.close(descriptor)
        self._selector.close()

    def _listen_to_children(self) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            try:
                said = os.read(key.fd, 4096)
            except BlockingIOError:
                continue
            child = self._children.get(key.data)
            if child is None:
                continue
            if not said:
                self._selector.unregister(key.fd)
                continue
            child.heard = time.monotonic()
            child.is_ready = child.is_ready or ALIVE in said
            child.reloading = child.reloading and RELOADED not in said
            child.draining = child.draining or DRAINING in said

    def _reap(self) -> None:
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._forget(child)
                code = os.waitstatus_to_exitcode(status)
                self._log.service("worker ended", pid=pid, status=code)

    def _forget(self, child: _Child) -> None:
        if child.heartbeat in self._selector.get_map():
            self._selector.unregister(child.heartbeat)
        os.close(child.heartbeat)
        self._metrics.worker_ended(child.number)
        del self._children[child.pid]

    def _replace_silent(self) -> None:
        for child in self._children.values():
            if time.monotonic() - child.heard > SILENCE_SECONDS:
                self._log.service("worker is silent and is killed", pid=child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.heard = time.monotonic()  # once is enough; it is reaped next

    def _reload(self) -> None:
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            setup = self._load()
        except LOAD_ERRORS as error:
            for problem in str(error).splitlines():
                self._log.service(problem)
            self._log.service("not reloaded: the old configuration stays in force")
            self._metrics.reloaded(Reload.REFUSED)
            self._notifier.notify("READY=1")
            return
        if setup.configuration.milter != self._setup.configuration.milter:
            self._log.service("a change of [milter] needs a restart")
        milter = self._setup.configuration.milter
        changed = setup.configuration.model_copy(update={"milter": milter})
        self._setup = Setup(changed, setup.signer)
        self._metrics.reloaded(Reload.DONE)
        for child in self._children.values():
            child.reloading = True
            os.kill(child.pid, signal.SIGHUP)
        self._is_ready = False

    def _show_life(self, *, is_ending: bool) -> None:
        ready = sum(child.is_ready for child in self._children.values())
        self._metrics.show_life(Life(self._wanted, ready, is_ending, time.monotonic()))

    def _tell_systemd(self) -> None:
        children = self._children.values()
        settled = len(children) == self._wanted and all(
            c.is_ready and not c.reloading for c in children
        )
        if settled and not self._is_ready:
            self._is_ready = True
            self._notifier.notify("READY=1")
            socket = self._setup.configuration.milter.socket
            self._log.service("ready", socket=str(socket), workers=self._wanted)
        interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 3
        if interval and self._is_ready and time.monotonic() >= self._next_probe:
            # Only what an MTA would see counts as alive.
            alive = probe.answers(*listening_socket.address())
            if alive:
                self._notifier.notify("WATCHDOG=1")
            self._next_probe = time.monotonic() + (interval if alive else _PROBE_AGAIN_SECONDS)

    def _end(self) -> int:
        self._notifier.notify("STOPPING=1")
        for child in self._children.values():
            os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        # One that systemd keeps is for those who come after us.
        closed = isinstance(self._setup.configuration.milter.socket, HandedOverSocket)
        while self._children and time.monotonic() < deadline:
            self._listen_to_children()
            if not closed and all(child.draining for child in self._children.values()):
                listening_socket.close_for_all()
                closed = True
            self._reap()
            self._show_life(is_ending=True)
        self._monitor.end()
        for child in list(self._children.values()):
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        self._log.service("stopped")
        return os.EX_OK
