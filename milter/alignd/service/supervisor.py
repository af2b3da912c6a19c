"""Supervises the service: opens the socket, keeps its processes running, handles signals.

libmilter's threads share one interpreter lock, so more than one core needs more than one process.
The supervisor serves no mail. It forks nothing while another thread of it loads a setup: a fork
copies the calling thread alone, and a lock that another one held would stay locked in the child.

Nothing but TERM and INT ends it. What fails in a round, for want of a process or a descriptor or
by a bug, is logged and tried again in the next one; the workers that serve go on.
"""

from __future__ import annotations

import gc
import os
import resource
import secrets
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from signal import SIGHUP, SIGINT, SIGTERM
from typing import Any

from alignd.config.domain_lists import SuffixList
from alignd.config.endpoint import HandedOverSocket, UnixSocket
from alignd.config.option_types import ListenAddress
from alignd.mta import libmilter, listening_socket, probe
from alignd.mta.session import Runtime
from alignd.service.archive_process import ArchiveOptions, serve_archive
from alignd.service.in_force import describe, installed_versions
from alignd.service.inputs import InputReport, KeyFollower, NameserverFollower
from alignd.service.ledger.place import LedgerOptions
from alignd.service.loading import SetupLoader
from alignd.service.monitor import RequestHandler, serve_metrics
from alignd.service.processes.auxiliary_process import AuxiliaryProcess, beating
from alignd.service.processes.child_process import ChildProcesses, pin_to_core
from alignd.service.processes.notification import ServiceManager, Watchdog
from alignd.service.processes.patience import Attempts
from alignd.service.processes.signals import PendingSignals
from alignd.service.return_map import MapShare, open_map_socket, serve_map
from alignd.service.setup import LOAD_ERRORS, Leg, Setup
from alignd.service.shared import Shared
from alignd.service.worker import DRAIN_SECONDS, Worker, room_for_connections
from alignd.service.workers import Workers
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ServiceState
from alignd.telemetry.status import SupervisorPart
from alignd.telemetry.words import ArchiveState, ChildKind, LedgerState, Reload, Task

END_SECONDS = DRAIN_SECONDS + 3.0
"""How long workers may take to end before they are killed."""
LEDGER_END_SECONDS = 3.5
"""How long the ledger's process may take to end, in which it writes what waits."""
_LEDGER_NICENESS = 5  # a third of a worker's share
_LAST_SECONDS = 4.0  # for the other processes; one that waits for a disk is left to the kernel
_LOAD_SECONDS = 120.0  # 3,000 tenants take a second, on a twentieth of a core 20 (measured)
_ROUND_SECONDS = 0.25


class Supervisor:
    """Runs the service until TERM or INT."""

    def __init__(self, load_setup: Callable[[Setup | None], Setup], log: MessageLog) -> None:
        """Load the setup for the first time; *load_setup* is given the one that runs, if any.

        Raises:
            ConfigError: the configuration is wrong.
            ResolverError: there is no nameserver to ask.
        """
        self._load_setup = load_setup
        self._setup = load_setup(None)
        self._log = log
        self._suffixes = SuffixList()
        milter = self._setup.configuration.milter
        wanted = milter.workers_on(len(os.sched_getaffinity(0)))
        self._shared = Shared(wanted)
        self._metrics = self._shared.metrics
        log.count_dropped(self._metrics.of_supervisor().line_dropped)
        self._versions = installed_versions()
        self._started = self._loaded = time.time()
        self._describe_setup()
        self._inputs = InputReport(log, self._metrics.of_supervisor())
        self._follower = NameserverFollower(self._inputs.nameservers)
        self._key_follower = KeyFollower(self._inputs.return_keys)
        self._signals = PendingSignals()
        self._loader = SetupLoader(load_setup, self._signals.wake, _LOAD_SECONDS)
        self._manager = ServiceManager()
        self._watchdog = Watchdog(self._manager, self._answers, os.environ)
        self._children = ChildProcesses(log)
        self._children.close_in_each(self._signals.close)
        self._workers = Workers(
            wanted,
            self._serve_mail,
            self._children,
            self._attempts(ChildKind.WORKER),
            self._shared,
            log,
        )
        self._monitor: AuxiliaryProcess[ListenAddress] = AuxiliaryProcess(
            self._serve_metrics,
            self._children,
            self._attempts(ChildKind.MONITOR),
            self._metrics.of_monitor().reset_gauges,
            log,
        )
        self._archive: AuxiliaryProcess[ArchiveOptions] = AuxiliaryProcess(
            self._serve_archive,
            self._children,
            self._attempts(ChildKind.ARCHIVE),
            self._metrics.of_archive().reset_gauges,
            log,
        )
        self._ledger: AuxiliaryProcess[LedgerOptions] = AuxiliaryProcess(
            self._serve_ledger,
            self._children,
            self._attempts(ChildKind.LEDGER),
            self._metrics.of_ledger().reset_gauges,
            log,
            end_seconds=LEDGER_END_SECONDS,
        )
        self._map_socket: socket.socket | None = None
        self._map: AuxiliaryProcess[str] = AuxiliaryProcess(
            self._serve_map,
            self._children,
            self._attempts(ChildKind.MAP),
            self._shared.board.of_map().clear,
            log,
            lambda: listening_socket.stop_listening(self._map_descriptors),
        )
        self._worker: Worker | None = None
        # No client can guess it, and so hide its mail from the metrics as a probe.
        self._probe_id = secrets.token_hex(16)
        self._sessions = libmilter.Sessions(
            self._current_runtime, milter.idle_timeout, self._probe_id
        )
        self._address: tuple[Any, Any] = (None, None)
        self._is_ready = False
        self._is_closed = False

    def run(self) -> int:
        """Serve until TERM or INT, then let open sessions end; the exit status.

        Raises:
            ListenError: a socket cannot be opened.
        """
        milter = self._setup.configuration.milter
        self._make_room_for(milter.max_connections)
        with listening_socket.open_to_all():
            libmilter.listen(milter.socket, self._sessions)
        listening_socket.share()
        self._address = listening_socket.address()
        if self._setup.leg is Leg.RETURN:
            self._map_socket = open_map_socket(self._setup.configuration.return_path.socket)
        self._signals.watch()
        self._inputs.loaded(self._setup)
        # All objects so far live as long as the process. Frozen, the garbage collector of a worker
        # does not visit them, which would also write to their pages and so copy them all.
        gc.freeze()
        steps = (
            self._start_workers,
            self._keep_helpers,
            self._wait,
            self._reap,
            self._workers.kill_hung,
            self._follow_inputs,
            self._reload,
            self._notify,
            self._watchdog.feed,
            self._publish_state,
        )
        while not self._signals.take(SIGTERM, SIGINT):
            self._attempt(*steps)
        return self._stop()

    def _attempt(self, *steps: Callable[[], None]) -> None:
        """Take each of the steps of a round, whatever comes of the others."""
        for step in steps:
            try:
                step()
            except Exception as error:  # a shortage or a bug; the next round tries again
                self._metrics.of_supervisor().task_failed(Task.SUPERVISION)
                with suppress(MemoryError):  # which a later round tells
                    self._log.once_a_minute(
                        "supervisor failed: it goes on", error=described(error)
                    )
                time.sleep(_ROUND_SECONDS)  # what fails at once must not keep the machine busy

    def _attempts(self, kind: ChildKind) -> Attempts:
        return Attempts(kind, time.monotonic, self._log, self._metrics.of_supervisor())

    def _make_room_for(self, connections: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if (room := room_for_connections()) < connections:
            self._log.service(
                "too few descriptors for milter.max_connections: raise LimitNOFILE",
                descriptors=most,
                max_connections=room,
            )

    def _start_workers(self) -> None:
        if not self._loader.is_loading:
            self._workers.start_missing()

    def _keep_helpers(self) -> None:
        if not self._loader.is_loading:
            self._monitor.keep_running(self._setup.configuration.metrics.listen)
            self._keep_archive()
            self._keep_ledger()
            if self._map_socket is not None:
                self._map.keep_running(self._map_socket.getsockname())

    def _end_helpers(self) -> None:
        self._monitor.keep_running(None)
        self._archive.keep_running(None)
        self._ledger.keep_running(None)
        self._map.keep_running(None)

    def _serve_mail(self, number: int, heartbeat: int) -> int:
        """Be worker *number*: called in a process of its own."""
        if self._map_socket is not None:
            self._map_socket.close()
        pin_to_core(number, self._log)
        self._worker = Worker(
            self._setup,
            self._load_setup,
            self._suffixes,
            self._sessions,
            self._log,
            self._shared.of_worker(number),
            checks_dns=number == 0,
        )
        return self._worker.run(heartbeat)

    def _current_runtime(self) -> Runtime:
        assert self._worker is not None, "only workers serve"
        return self._worker.runtime()

    def _serve_metrics(self, listen: ListenAddress, beat: Callable[[], None]) -> None:
        """Be the monitor: called in a process of its own."""
        self._log.count_dropped(self._metrics.of_monitor().line_dropped)
        handler = RequestHandler(self._metrics, self._shared.board, self._versions.alignd)
        serve_metrics(handler, listen, beat, self._log)

    def _keep_archive(self) -> None:
        options = ArchiveOptions.of(self._setup.configuration.dns, os.environ)
        self._archive.keep_running(options)
        if options is None:
            self._metrics.of_archive().set_archive(ArchiveState.OFF, 0)

    def _serve_archive(self, options: ArchiveOptions, beat: Callable[[], None]) -> None:
        """Be the archive: called in a process of its own."""
        metrics = self._metrics.of_archive()
        self._log.count_dropped(metrics.line_dropped)
        serve_archive(options, beat, self._shared.archive_sockets, metrics, self._log)

    def _keep_ledger(self) -> None:
        options = LedgerOptions.of(self._setup, os.environ, self._versions.alignd)
        self._ledger.keep_running(options)
        if options is None:
            self._metrics.of_ledger().set_ledger(LedgerState.OFF)

    def _serve_ledger(self, options: LedgerOptions, beat: Callable[[], None]) -> None:
        """Be the ledger: called in a process of its own."""
        with suppress(OSError):  # where a sandbox forbids it
            os.nice(_LEDGER_NICENESS)  # on a machine that has too much to do, mail goes first
        signals = PendingSignals()
        signals.watch()  # a TERM that comes while it is loaded must not end it: messages wait
        # SQLAlchemy is large: no other process has it. Such a machine takes long to load it.
        with beating(beat):
            from alignd.service.ledger.server import serve_ledger  # noqa: PLC0415

        metrics = self._metrics.of_ledger()
        self._log.count_dropped(metrics.line_dropped)
        readers = self._shared.rings.readers()
        serve_ledger(options, beat, signals, readers, metrics, self._log)

    def _serve_map(self, _path: str, beat: Callable[[], None]) -> None:
        """Be the map: called in a process of its own."""
        assert self._map_socket is not None
        share = MapShare(self._metrics.of_map(), self._shared.board.of_map())
        self._log.count_dropped(share.metrics.line_dropped)
        serve_map(self._map_socket, self._setup, self._load_setup, beat, share, self._log)

    @property
    def _map_descriptors(self) -> frozenset[int]:
        """Of the map's socket, which outlives its process, so that Postfix waits meanwhile."""
        return frozenset({self._map_socket.fileno()} if self._map_socket else ())

    def _wait(self) -> None:
        """Wait for a signal, a heartbeat, a setup, or the end of the round."""
        poll = select.poll()
        for descriptor in (self._signals.wakeup, *self._workers.heartbeats()):
            poll.register(descriptor, select.POLLIN)
        poll.poll(_ROUND_SECONDS * 1000)
        self._signals.clear_wakeup()
        self._workers.read_heartbeats()

    def _reap(self) -> None:
        self._children.reap()
        self._workers.remove_ended()

    def _follow_inputs(self) -> None:
        before = self._setup
        self._setup = self._key_follower.follow(self._follower.follow(before))
        if self._setup is not before:
            self._describe_setup()

    def _reload(self) -> None:
        if not self._loader.is_loading and self._signals.take(SIGHUP):
            self._manager.reloading()
            self._loader.begin(self._setup)
        match self._loader.take():
            case None:
                return
            case Setup() as setup:
                self._take(setup)
            case Exception() as error:
                self._refuse(error)

    def _take(self, setup: Setup) -> None:
        if setup.configuration.milter != self._setup.configuration.milter:
            self._log.service("the change in [milter] takes effect after a restart")
        if _map_place(setup) != _map_place(self._setup):
            self._log.service("the change of return.socket takes effect after a restart")
        before, self._setup = self._setup, setup.with_milter_of(self._setup)
        self._inputs.loaded(self._setup, before)
        self._metrics.reloaded(Reload.DONE)
        self._loaded = time.time()
        self._describe_setup()
        self._workers.reload()
        self._map.reload()
        self._is_ready = False

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, (*LOAD_ERRORS, OSError)):
            for problem in str(error).splitlines():
                self._log.service(problem)
        else:  # a bug
            self._log.service("configuration cannot be loaded", error=described(error))
        self._log.service("reload refused: the old configuration stays in force")
        self._metrics.reloaded(Reload.REFUSED)
        self._inputs.refused(error)
        self._manager.ready()

    def _notify(self) -> None:
        self._manager.tell_untold()
        if not self._is_ready and self._workers.are_settled and not self._map.is_missing:
            self._is_ready = True
            self._manager.ready()
            self._watchdog.begin()
            socket = self._setup.configuration.milter.socket
            self._log.service("ready", socket=str(socket), workers=self._workers.wanted)

    def _answers(self) -> bool:
        try:
            return probe.answers_message(*self._address, self._probe_id)
        except OSError as error:
            # No descriptor is left for it, which says nothing of the workers: they have their own.
            self._log.once_a_minute("the probe of the watchdog was not sent", problem=str(error))
            return self._workers.ready > 0

    def _describe_setup(self) -> None:
        part = SupervisorPart(
            os.getpid(), self._started, self._versions, describe(self._setup, self._loaded)
        )
        self._shared.board.of_supervisor().write(part)

    def _publish_state(self, *, is_ending: bool = False) -> None:
        ready, wanted = self._workers.ready, self._workers.wanted
        state = ServiceState(wanted, ready, is_ending, time.monotonic(), self._map.is_missing)
        self._metrics.write_state(state)

    def _stop(self) -> int:
        self._attempt(self._manager.stopping, self._workers.drain)
        deadline = time.monotonic() + END_SECONDS
        steps = (self._wait, self._refuse_connections, self._reap, self._publish_ending)
        while len(self._workers) and time.monotonic() < deadline:
            self._attempt(*steps)
        self._end_all()
        self._log.service("stopped")
        return os.EX_OK

    def _refuse_connections(self) -> None:
        # A socket that systemd keeps stays open, for the next service.
        is_kept = isinstance(self._setup.configuration.milter.socket, HandedOverSocket)
        if not self._is_closed and not is_kept and self._workers.are_draining:
            listening_socket.close_for_all(self._map_descriptors)
            self._is_closed = True

    def _publish_ending(self) -> None:
        self._publish_state(is_ending=True)

    def _end_all(self) -> None:
        """End the processes that are left, whose work is done or who do not end by themselves."""
        self._attempt(self._workers.kill)
        deadline = time.monotonic() + _LAST_SECONDS
        while len(self._children) and time.monotonic() < deadline:
            self._attempt(self._end_helpers, self._wait, self._reap)
        if unsaved := self._shared.rings.unsaved:
            self._log.service("ledger could not be written to the end", messages_lost=unsaved)


def _map_place(setup: Setup) -> UnixSocket | None:
    return setup.configuration.return_path.socket if setup.leg is Leg.RETURN else None
