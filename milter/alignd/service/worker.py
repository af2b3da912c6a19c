"""A worker process: serves the shared socket with libmilter until TERM."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from alignd.config.domain_lists import SuffixList
from alignd.config.settings import DnsOptions
from alignd.doctor.machine import OTHER_DESCRIPTORS
from alignd.judgement.evidence import wanted_by
from alignd.judgement.review import make_reviewer
from alignd.mta import libmilter, listening_socket
from alignd.mta.judgement_cache import JudgementCache
from alignd.mta.lookahead import LookAhead
from alignd.mta.session import Runtime
from alignd.mta.suspects import JudgementNotes
from alignd.resolver.archive import Archive
from alignd.resolver.resolver import Resolver
from alignd.service.loading import SetupLoader
from alignd.service.self_check import start_self_check
from alignd.service.setup import LOAD_ERRORS, Setup
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics

DRAIN_SECONDS = 45.0
"""How long open sessions may take to end after TERM; then they are cut (451 from the MTA)."""
BEAT_SECONDS = 1.0
"""How often a worker sends a heartbeat."""
ALIVE, RELOADED, DRAINING = b".", b"r", b"d"
"""What a worker writes to its supervisor, on the pipe of its heartbeat."""
_LOAD_SECONDS = 600.0  # all workers load at once: on a fraction of a core that takes minutes
_POLL_SECONDS = 0.05
_LOADED = 0  # in the queue of signals; kill(2) has no signal of that number


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """What of a worker outlives it."""

    metrics: ProcessMetrics
    notes: JudgementNotes


class Worker:
    """A worker, from its fork to its end."""

    def __init__(
        self,
        setup: Setup,
        load_setup: Callable[[], Setup],
        suffixes: SuffixList,
        sessions: libmilter.Sessions,
        log: MessageLog,
        shared: SharedMemory,
        *,
        checks_dns: bool,
    ) -> None:
        """One worker *checks_dns* for all: it warns in the log of bad DNS of the relay."""
        self._suffixes = suffixes
        self._sessions = sessions
        self._log = log
        self._metrics = shared.metrics
        self._notes = shared.notes
        self._checks_dns = checks_dns
        self._setup = setup
        self._signals: SimpleQueue[int] = SimpleQueue()
        # In the background: a worker that is silent for long would be killed.
        self._loader = SetupLoader(load_setup, lambda: self._signals.put(_LOADED), _LOAD_SECONDS)
        self._resolver = self._make_resolver(setup)
        self._runtime = self._make_runtime(setup)

    def runtime(self) -> Runtime:
        """What the next message is served with; messages in progress keep theirs."""
        return self._runtime

    def run(self, heartbeat: int) -> int:
        """Serve until TERM, then drain; the exit status.

        *heartbeat* is the descriptor to write ALIVE, RELOADED and DRAINING to.
        """
        # A handler interrupts the main thread anywhere, even where it holds a lock: a handler that
        # takes the same lock (of an Event, a Queue, the log) waits for ever. SimpleQueue.put() is
        # documented to be reentrant.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda found, _frame: self._signals.put(found))
        # A HUP since the fork is pending: this worker was forked with the setup before it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        thread = threading.Thread(target=libmilter.serve, name="libmilter", daemon=True)
        thread.start()
        self._start_self_check()
        received: int | None = None
        while received != signal.SIGTERM:
            if not thread.is_alive():
                self._log.service("libmilter stopped unexpectedly: the worker ends")
                return os.EX_SOFTWARE
            _send(heartbeat, ALIVE)
            self._metrics.set_breaker(is_open=self._resolver.is_down)
            if received == signal.SIGHUP:
                self._loader.begin()
            if (loaded := self._loader.take()) is not None:
                self._reload(loaded)
                _send(heartbeat, RELOADED)
            received = self._next_signal()
        listening_socket.stop_listening()
        _send(heartbeat, DRAINING)
        return self._drain(heartbeat)

    def _next_signal(self) -> int | None:
        """The next signal, or None when none comes before the next heartbeat is due."""
        try:
            return self._signals.get(timeout=BEAT_SECONDS)
        except Empty:
            return None

    def _reload(self, loaded: Setup | Exception) -> None:
        try:
            if isinstance(loaded, Exception):
                raise loaded
            setup = loaded.with_milter_of(self._setup)
            self._runtime = self._make_runtime(setup)
        except Exception as error:
            # The supervisor has just loaded it: a file has changed since, or this process has no
            # descriptor left to read them; else it is a bug. Those that it serves go on.
            is_known = isinstance(error, (*LOAD_ERRORS, OSError))
            problem = str(error) if is_known else described(error)
            self._log.service("worker keeps the old configuration: reload failed", problem=problem)
            return
        self._setup = setup
        self._start_self_check()

    def _start_self_check(self) -> None:
        if self._checks_dns:
            start_self_check(self._setup, self._suffixes, self._log)

    def _make_runtime(self, setup: Setup) -> Runtime:
        configuration, milter = setup.configuration, setup.configuration.milter
        reviewer = make_reviewer(
            configuration, setup.signer, time.time, self._suffixes, time.thread_time
        )
        wanted = wanted_by(configuration)
        self._sessions.want(wanted)
        resolver = self._resolver_for(setup)
        return Runtime(
            JudgementCache(reviewer, self._log, self._metrics, self._notes),
            LookAhead(reviewer, resolver),
            resolver.for_message,
            self._log,
            self._metrics,
            wanted,
            min(milter.max_connections, room_for_connections()),
            configuration.log.level == "debug",
        )

    def _resolver_for(self, setup: Setup) -> Resolver:
        running = self._setup
        if (setup.configuration.dns, setup.nameservers) != (
            running.configuration.dns,
            running.nameservers,
        ):  # else keep its cache
            old, self._resolver = self._resolver, self._make_resolver(setup)
            old.end()
        return self._resolver

    def _make_resolver(self, setup: Setup) -> Resolver:
        return Resolver(
            setup.configuration.dns,
            setup.nameservers,
            self._log.service,
            self._open_archive(setup.configuration.dns),
            self._metrics,
            keeps_sockets=True,
        )

    def _open_archive(self, settings: DnsOptions) -> Archive | None:
        path = _archive_path(settings)
        if path is None:
            return None
        try:
            return Archive(path, settings.stale, self._log.service)
        except (sqlite3.Error, RuntimeError) as error:  # the latter: no thread is left for it
            self._log.service("cannot archive DNS answers", path=str(path), error=str(error))
            return None

    def _drain(self, heartbeat: int) -> int:
        deadline = time.monotonic() + DRAIN_SECONDS
        while len(self._sessions) and time.monotonic() < deadline:
            _send(heartbeat, ALIVE)
            time.sleep(_POLL_SECONDS)
        if left := len(self._sessions):
            self._log.service("open sessions are cut", open=left, after_seconds=DRAIN_SECONDS)
        return os.EX_OK


def room_for_connections() -> int:
    """How many connections this process has descriptors for, less those it needs itself.

    With no descriptor left, libmilter would spin on accept() until one is free.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, most - OTHER_DESCRIPTORS)


def _archive_path(settings: DnsOptions) -> Path | None:
    """The file that keeps DNS answers over restarts, if there is one."""
    if settings.archive:
        return Path(settings.archive)
    state = os.environ.get("STATE_DIRECTORY")  # systemd.exec(5), StateDirectory=
    return Path(state) / "dns.sqlite" if state else None


def _send(heartbeat: int, word: bytes) -> None:
    try:
        os.write(heartbeat, word)
    except BlockingIOError:
        return  # the pipe is full: the supervisor is busy, and has heartbeats to read
    except BrokenPipeError:
        return  # the supervisor is dead, and the kernel is about to send TERM
