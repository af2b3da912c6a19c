"""One worker process: serves the shared socket with libmilter until it is told to end."""

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
from alignd.config.file import ConfigError
from alignd.config.settings import Configuration, DnsOptions
from alignd.doctor.machine import OTHER_DESCRIPTORS
from alignd.judgement.evidence import wanted_by
from alignd.judgement.review import make_reviewer
from alignd.mailauth.dkim import Signer
from alignd.mta import libmilter, listening_socket
from alignd.mta.judgement_cache import JudgementCache
from alignd.mta.lookahead import LookAhead
from alignd.mta.session import Runtime
from alignd.resolver.resolver import Resolver, ResolverError
from alignd.service.self_check import advise
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import WorkerMetrics

DRAIN_SECONDS = 45.0
"""How long open sessions may take to end after TERM; then the MTA keeps what it has (451)."""
BEAT_SECONDS = 1.0
"""How often a worker says that it is alive."""
LOAD_ERRORS = (ConfigError, ResolverError)
"""What loading a setup may raise; those who serve already keep what they have."""
ALIVE, RELOADED, DRAINING = b".", b"r", b"d"
"""What a worker says to its supervisor."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Setup:
    """All that comes from the configuration file."""

    configuration: Configuration
    signer: Signer


class Worker:
    """A worker, from its fork to its end."""

    def __init__(
        self,
        setup: Setup,
        load: Callable[[], Setup],
        suffixes: SuffixList,
        sessions: libmilter.Sessions,
        log: MessageLog,
        metrics: WorkerMetrics,
        *,
        advises: bool,
    ) -> None:
        """One worker of all *advises*: it says in the log what is wrong with the relay's DNS."""
        self._load = load
        self._suffixes = suffixes
        self._sessions = sessions
        self._log = log
        self._metrics = metrics
        self._advises = advises
        self._setup = setup
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._resolver = self._make_resolver(setup.configuration.dns)
        self._runtime = self._make_runtime(setup)

    def runtime(self) -> Runtime:
        """What the next message is reviewed with; those in progress keep theirs."""
        return self._runtime

    def run(self, heartbeat: int) -> int:
        """Serve until TERM, then until all sessions have ended; the exit status.

        *heartbeat* is a descriptor to say ALIVE, RELOADED and DRAINING on.
        """
        # A handler interrupts the main thread anywhere, and so must not take a lock: no log here,
        # and no Event. The put() of a SimpleQueue is made for this.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda found, _frame: self._signals.put(found))
        # A HUP since the fork has waited: the setup that came with it may be the one before.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        thread = threading.Thread(target=libmilter.serve, name="libmilter", daemon=True)
        thread.start()
        self._advise()
        received: int | None = None
        while received != signal.SIGTERM:
            if not thread.is_alive():
                self._log.service("libmilter ended by itself")
                return os.EX_SOFTWARE
            _say(heartbeat, ALIVE)
            self._metrics.dns_is_down(self._resolver.is_down)
            if received == signal.SIGHUP:
                self._reload()
                _say(heartbeat, RELOADED)
            received = self._next_signal()
        listening_socket.stop_listening()
        _say(heartbeat, DRAINING)
        return self._drain(heartbeat)

    def _next_signal(self) -> int | None:
        """The signal that comes within a beat, or None."""
        try:
            return self._signals.get(timeout=BEAT_SECONDS)
        except Empty:
            return None

    def _reload(self) -> None:
        try:
            setup = self._load()
            self._runtime = self._make_runtime(setup)
        except LOAD_ERRORS as error:
            # The supervisor has just read it; it, or resolv.conf, was changed again since.
            self._log.service("worker keeps its configuration", problem=str(error))
            return
        self._setup = setup
        self._advise()

    def _advise(self) -> None:
        if self._advises:
            setup = self._setup
            advise(setup.configuration, setup.signer, self._suffixes, self._log)

    def _make_runtime(self, setup: Setup) -> Runtime:
        configuration, milter = setup.configuration, setup.configuration.milter
        reviewer = make_reviewer(configuration, setup.signer, time.time, self._suffixes)
        wanted = wanted_by(configuration)
        self._sessions.want(wanted)
        resolver = self._resolver_for(configuration.dns)
        return Runtime(
            JudgementCache(reviewer, self._log, self._metrics),
            LookAhead(reviewer, resolver),
            resolver.for_message,
            self._log,
            self._metrics,
            wanted,
            min(milter.max_connections, room_for_connections()),
            configuration.log.level == "debug",
        )

    def _resolver_for(self, settings: DnsOptions) -> Resolver:
        if settings != self._setup.configuration.dns:  # else what it knows is still good
            self._resolver = self._make_resolver(settings)
        return self._resolver

    def _make_resolver(self, settings: DnsOptions) -> Resolver:
        path = archive_path(settings)
        try:
            return Resolver(settings, self._log.service, path, self._metrics)
        except sqlite3.Error as error:
            self._log.service("no archive of DNS answers", path=str(path), error=str(error))
            return Resolver(settings, self._log.service, meter=self._metrics)

    def _drain(self, heartbeat: int) -> int:
        deadline = time.monotonic() + DRAIN_SECONDS
        while len(self._sessions) and time.monotonic() < deadline:
            _say(heartbeat, ALIVE)
            time.sleep(_POLL_SECONDS)
        if left := len(self._sessions):
            self._log.service("sessions are cut", open=left, after_seconds=DRAIN_SECONDS)
        return os.EX_OK


def room_for_connections() -> int:
    """How many connections this process has descriptors for.

    With none left, libmilter would spin on accept() until one is free.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, most - OTHER_DESCRIPTORS)


def archive_path(settings: DnsOptions) -> Path | None:
    """Where DNS answers are kept over restarts; None when nowhere."""
    if settings.archive:
        return Path(settings.archive)
    state = os.environ.get("STATE_DIRECTORY")  # systemd.exec(5), StateDirectory=
    return Path(state) / "dns.sqlite" if state else None


def _say(heartbeat: int, word: bytes) -> None:
    try:
        os.write(heartbeat, word)
    except BlockingIOError:
        return  # the supervisor has enough to read
    except BrokenPipeError:
        return  # it is gone, and TERM is on its way
