"""A worker process: serves the shared socket with libmilter until TERM."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from alignd.config.domain_lists import SuffixList
from alignd.config.settings import DnsOptions
from alignd.doctor.machine import OTHER_DESCRIPTORS
from alignd.mta import libmilter, listening_socket
from alignd.mta.connections import Connections, Listening
from alignd.mta.negotiated import DescriptorReader
from alignd.mta.session import Runtime
from alignd.resolver.archive.client import ArchiveClient
from alignd.resolver.nameserver_states import Condition
from alignd.resolver.resolver import Resolver
from alignd.service.archive_process import ArchiveOptions
from alignd.service.inputs import KeyFollower, NameserverFollower
from alignd.service.ledger.place import ledger_place
from alignd.service.legs import Means, make_judging
from alignd.service.loading import SetupLoader
from alignd.service.self_check import start_self_check
from alignd.service.setup import LOAD_ERRORS, Setup
from alignd.service.shared import WorkerShare
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.status import NameserverState, WorkerPart
from alignd.telemetry.words import Task

DRAIN_SECONDS = 45.0
"""How long open sessions may take to end after TERM; then they are cut (451 from the MTA)."""
STUCK_SECONDS = 30.0
"""A judgement that takes longer than dns.timeout by this much has no end, whatever holds it."""
BEAT_SECONDS = 1.0
"""How often a worker sends a heartbeat."""
ALIVE, RELOADED, DRAINING = b".", b"r", b"d"
"""What a worker writes to its supervisor, on the pipe of its heartbeat."""
_LOAD_SECONDS = 600.0  # all workers load at once: on a fraction of a core that takes minutes
_POLL_SECONDS = 0.05
_STATES = dict.fromkeys(Condition, NameserverState.FAILS) | {
    Condition.UNTRIED: NameserverState.UNKNOWN,
    Condition.ANSWERS: NameserverState.ANSWERS,
}
_LOADED = 0  # in the queue of signals; kill(2) has no signal of that number


class Worker:
    """A worker, from its fork to its end."""

    def __init__(
        self,
        setup: Setup,
        load_setup: Callable[[Setup | None], Setup],
        suffixes: SuffixList,
        sessions: libmilter.Sessions,
        log: MessageLog,
        share: WorkerShare,
        *,
        checks_dns: bool,
    ) -> None:
        """One worker *checks_dns* for all: it warns in the log of bad DNS of the relay."""
        log.count_dropped(share.metrics.line_dropped)
        self._suffixes = suffixes
        self._sessions = sessions
        self._log = log
        self._metrics = share.metrics
        self._notes = share.notes
        self._share = share
        self._started = time.time()
        self._checks_dns = checks_dns
        self._archive = ArchiveClient(
            share.archive.answers,
            share.archive.questions,
            self._metrics.answer_not_archived,
            self._note_archive_failure,
        )
        self._setup = setup
        self._follower = NameserverFollower()  # the supervisor tells of it
        self._key_follower = KeyFollower()  # and of this
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
        connections = self._make_connections()
        thread = threading.Thread(target=libmilter.serve, name="libmilter", daemon=True)
        thread.start()
        self._start_self_check()
        received: int | None = None
        while received != signal.SIGTERM:
            if not thread.is_alive():
                self._log.service("libmilter stopped unexpectedly: the worker ends")
                return os.EX_SOFTWARE
            if not self._is_stuck():
                _send(heartbeat, ALIVE)
            if connections is not None:
                connections.keep_watched()
            self._follow_nameservers()
            self._follow_keys()
            self._tell_status()
            if received == signal.SIGHUP:
                self._loader.begin(self._setup)
            if (loaded := self._loader.take()) is not None:
                self._reload(loaded)
                _send(heartbeat, RELOADED)
            received = self._next_signal()
        listening_socket.stop_listening()
        _send(heartbeat, DRAINING)
        status = self._drain(heartbeat)
        self._archive.end()
        return status

    def _tell_status(self) -> None:
        is_down, is_troubled = self._resolver.is_down, self._resolver.is_troubled
        self._metrics.set_breaker(is_open=is_down)
        self._metrics.set_troubled(is_troubled=is_troubled)
        conditions = self._resolver.conditions()
        failing = sum(each.is_failing for each in conditions.values())
        self._metrics.set_failing_nameservers(failing)
        self._share.status.write(
            WorkerPart(
                self._share.number,
                os.getpid(),
                self._started,
                self._setup.digest,
                {str(each): _STATES[how] for each, how in conditions.items()},
                is_down,
                is_troubled,
                connections=len(self._sessions),
            )
        )

    def _is_stuck(self) -> bool:
        """Whether a judgement has no end: without a heartbeat, the supervisor kills this worker.

        A probe may be answered by another one, and mail that comes here is not.
        """
        seconds = self._sessions.longest_judgement(time.monotonic())
        if seconds <= self._setup.configuration.dns.timeout + STUCK_SECONDS:
            return False
        self._log.once_a_minute("a judgement has no end: the worker stops its heartbeat")
        return True

    def _make_connections(self) -> Connections | None:
        try:
            listening = Listening(*listening_socket.address())
            reader = DescriptorReader(listening.accepted)
            return Connections(
                listening,
                self._sessions,
                reader,
                lambda: self._runtime.max_sessions,
                self._log,
                self._metrics,
            )
        except OSError as error:
            self._log.service("connections are not watched", problem=error.strerror or "")
            return None

    def _next_signal(self) -> int | None:
        """The next signal, or None when none comes before the next heartbeat is due."""
        try:
            return self._signals.get(timeout=BEAT_SECONDS)
        except Empty:
            return None

    def _follow_nameservers(self) -> None:
        before, self._setup = self._setup, self._follower.follow(self._setup)
        if not self._setup.nameservers.asks_like(before.nameservers):
            self._resolver.use_nameservers(self._setup.nameservers)

    def _follow_keys(self) -> None:
        before, self._setup = self._setup, self._key_follower.follow(self._setup)
        if self._setup.keys != before.keys:
            self._runtime = self._make_runtime(self._setup)

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
            start_self_check(self._setup, self._suffixes, self._log, self._metrics)

    def _make_runtime(self, setup: Setup) -> Runtime:
        configuration = setup.configuration
        means = Means(self._suffixes, self._log, self._metrics, self._notes)
        judging = make_judging(setup, means)
        self._sessions.want(judging.wanted)
        resolver = self._resolver_for(setup)
        has_ledger = ledger_place(configuration.ledger, setup.leg, os.environ) is not None
        return Runtime(
            judging.judge,
            judging.make_look_ahead(resolver),
            resolver.for_message,
            self._log,
            self._metrics,
            judging.wanted,
            min(configuration.milter.max_connections, room_for_connections()),
            configuration.log.level == "debug",
            self._share.ring if has_ledger else None,
        )

    def _resolver_for(self, setup: Setup) -> Resolver:
        running = self._setup
        if _besides_nameservers(setup) != _besides_nameservers(running):  # else keep its cache
            old, self._resolver = self._resolver, self._make_resolver(setup)
            old.end()
        elif not setup.nameservers.asks_like(running.nameservers):
            self._resolver.use_nameservers(setup.nameservers)
        return self._resolver

    def _make_resolver(self, setup: Setup) -> Resolver:
        return Resolver(
            setup.configuration.dns,
            setup.nameservers,
            self._log.service,
            self._archive if ArchiveOptions.of(setup.configuration.dns, os.environ) else None,
            self._metrics,
            keeps_sockets=True,
        )

    def _note_archive_failure(self, error: Exception) -> None:
        self._metrics.task_failed(Task.ARCHIVE)
        self._log.once_a_minute("DNS answers were not sent to the archive", error=described(error))

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


def _besides_nameservers(setup: Setup) -> DnsOptions:
    return setup.configuration.dns.model_copy(update={"nameservers": ()})


def _send(heartbeat: int, word: bytes) -> None:
    try:
        os.write(heartbeat, word)
    except BlockingIOError:
        return  # the pipe is full: the supervisor is busy, and has heartbeats to read
    except BrokenPipeError:
        return  # the supervisor is dead, and the kernel is about to send TERM
