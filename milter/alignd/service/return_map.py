"""The process that tells Postfix whose a return address is: the map `return` of a socketmap.

Strangers choose what is asked. So each answer costs the same, each connection holds a few
kilobytes, and none makes another wait.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from asyncio import BaseTransport, Transport
from collections.abc import Callable
from dataclasses import dataclass

from alignd.config.endpoint import UnixSocket
from alignd.mta.libmilter import ListenError
from alignd.mta.socketmap import (
    MAX_REQUEST,
    NOT_FOUND,
    MalformedError,
    Request,
    RequestReader,
    found,
    temporary,
)
from alignd.return_path.address import Invalid
from alignd.return_path.directory import Directory, Found, KeyTrouble, Nobody
from alignd.service.inputs import KeyFollower
from alignd.service.loading import SetupLoader
from alignd.service.setup import LOAD_ERRORS, Setup
from alignd.service.unix_listener import listen_at
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.status import MapPart
from alignd.telemetry.status_board import PartWriter
from alignd.telemetry.words import LookupResult

MAP_NAME = "return"
"""The name of the map, in `socketmap:unix:PATH:return`."""
MAX_CONNECTIONS = 256
"""Connections at a time; one more closes the one that has asked nothing for longest."""
REQUEST_SECONDS = 1.0
"""How long a request may take to arrive, and its reply to be taken."""
IDLE_SECONDS = 100.0
"""After which a connection is closed. Postfix closes its own after 10 s without a question."""
_MODE = 0o666  # Postfix runs as another user
_ROUND_SECONDS = 0.25
_LOAD_SECONDS = 600.0  # as for the workers, which load at the same time
_RESULTS: dict[Invalid | Nobody, LookupResult] = {
    each: LookupResult(each.value) for each in (*Invalid, *Nobody)
}
_LATER = {
    LookupResult.UNKNOWN_KEY: temporary("the key of this address is not known yet"),
    LookupResult.KEYS_MISSING: temporary("the keys of return addresses are not there"),
    LookupResult.FAILED: temporary("internal error"),
}
_OTHER_MAP = temporary(f"there is one map here: {MAP_NAME}")


def look_up(directory: Directory, request: Request, now: float) -> tuple[LookupResult, bytes]:
    """Answer *request* at the Unix time *now*: what came of it, and the reply."""
    if request.name != MAP_NAME:
        return LookupResult.FAILED, _OTHER_MAP
    if not request.key.isascii():  # str.lower() would make a "k" of the sign for kelvins
        return LookupResult.FORM, NOT_FOUND
    entry = directory.find(request.key, now)
    if isinstance(entry, Found):
        return LookupResult.FOUND, found(entry.deliver_to.address.lower())
    result = LookupResult.KEYS_MISSING if isinstance(entry, KeyTrouble) else _RESULTS[entry]
    return result, _LATER.get(result, NOT_FOUND)


def open_map_socket(where: UnixSocket) -> socket.socket:
    """Listen for Postfix at *where*, in place of a process that has ended.

    Raises:
        ListenError: another process is served there, or it cannot be opened.
    """
    try:
        listening = listen_at(where.path, _MODE)
        listening.setblocking(False)
    except OSError as error:
        raise ListenError(f"{where}: {error.strerror or error}") from error
    return listening


@dataclass(frozen=True, slots=True)
class MapShare:
    """What of the map outlives its process."""

    metrics: ProcessMetrics
    status: PartWriter


def serve_map(
    listening: socket.socket,
    setup: Setup,
    load_setup: Callable[[Setup | None], Setup],
    beat: Callable[[], None],
    share: MapShare,
    log: MessageLog,
) -> None:
    """Answer on *listening* until the process ends; *beat* is called every second meanwhile."""
    asyncio.run(_serve(listening, MapProcess(setup, load_setup, share, log), beat, log))


async def _serve(
    listening: socket.socket, process: MapProcess, beat: Callable[[], None], log: MessageLog
) -> None:
    def log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = type(context.get("exception")).__name__
        problem = str(context["message"])
        log.once_a_minute("a question of Postfix failed", problem=problem, error=error)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_exception)
    loop.add_signal_handler(signal.SIGHUP, process.reload)
    # A HUP since the fork is pending: this process was forked with the setup before it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    # For a socket of any family, and unlike create_unix_server() it never removes the file.
    await loop.create_server(process.connection, sock=listening, backlog=socket.SOMAXCONN)
    while True:
        beat()
        process.tend()
        await asyncio.sleep(_ROUND_SECONDS)


class MapProcess:
    """What the connections share: the directory, which is replaced as a whole."""

    def __init__(
        self,
        setup: Setup,
        load_setup: Callable[[Setup | None], Setup],
        share: MapShare,
        log: MessageLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*clock* is a monotonic one, in seconds."""
        self.clock = clock
        self._setup = setup
        self._metrics = share.metrics
        self._status = share.status
        self._log = log
        self._started = time.time()
        self._follower = KeyFollower()  # the supervisor tells of it
        self._loader = SetupLoader(load_setup, lambda: None, _LOAD_SECONDS)
        # The one that has asked nothing for longest is the first.
        self._open: dict[Connection, None] = {}

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def connection(self) -> Connection:
        return Connection(self)

    def reload(self) -> None:
        """Begin to load the configuration; questions are answered meanwhile."""
        self._loader.begin(self._setup)

    def tend(self) -> None:
        """Do what is due, a few times a second."""
        self._setup = self._follower.follow(self._setup)
        if (loaded := self._loader.take()) is not None:
            self._take(loaded)
        now = self.clock()
        for connection in list(self._open):
            connection.cut_if_due(now)
        self._status.write(MapPart(os.getpid(), self._started, self._setup.digest, len(self)))

    def answer(self, request: Request) -> bytes:
        try:
            result, reply = look_up(self._setup.directory, request, time.time())
        except Exception as error:  # a bug; what is asked is not told, it may be mail
            result, reply = LookupResult.FAILED, _LATER[LookupResult.FAILED]
            self._log.once_a_minute("a return address is not looked up", error=described(error))
        self._metrics.looked_up(result)
        return reply

    def count_malformed(self) -> None:
        self._metrics.looked_up(LookupResult.MALFORMED)

    def opened(self, connection: Connection) -> None:
        if len(self) >= MAX_CONNECTIONS:
            longest = next(iter(self._open))
            del self._open[longest]
            longest.cut()
        self._open[connection] = None

    def asked(self, connection: Connection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def closed(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    def _take(self, loaded: Setup | Exception) -> None:
        if isinstance(loaded, Exception):
            # The supervisor has just loaded it: a file has changed since, or it is a bug.
            is_known = isinstance(loaded, (*LOAD_ERRORS, OSError))
            problem = str(loaded) if is_known else described(loaded)
            self._log.service("map keeps the old configuration: reload failed", problem=problem)
        else:
            self._setup = loaded


class Connection(asyncio.BufferedProtocol):
    """One connection of Postfix: its requests are answered in their order."""

    def __init__(self, process: MapProcess) -> None:
        self._process = process
        self._reader = RequestReader()
        self._buffer = memoryview(bytearray(MAX_REQUEST))
        self._transport: Transport | None = None
        self._asked = process.clock()
        self._waits_since: float | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self._transport = transport
        self._process.opened(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where to put what comes: as little at a time that nobody else waits for long."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert self._transport is not None
        now = self._process.clock()
        replies: list[bytes] = []
        try:
            for request in self._reader.feed(bytes(self._buffer[:nbytes])):
                replies.append(self._process.answer(request))
        except MalformedError:
            self._process.count_malformed()
            self._transport.write(b"".join(replies))
            self._transport.close()
            self._waits_since = now
            return
        if replies:
            self._asked = now
            self._process.asked(self)
            self._transport.write(b"".join(replies))
        if not self._reader.is_within_request:
            self._waits_since = None
        elif replies or self._waits_since is None:
            self._waits_since = now

    def pause_writing(self) -> None:
        """Read no more of a client that does not take its replies."""
        assert self._transport is not None
        self._transport.pause_reading()
        self._waits_since = self._process.clock()

    def resume_writing(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()
        self._waits_since = None

    def connection_lost(self, _error: Exception | None) -> None:
        self._process.closed(self)

    def cut_if_due(self, now: float) -> None:
        """Close it if it has waited for its client for too long."""
        if self._waits_since is not None and now - self._waits_since > REQUEST_SECONDS:
            self._process.count_malformed()
            self.cut()
        elif now - self._asked > IDLE_SECONDS:
            self.cut()

    def cut(self) -> None:
        assert self._transport is not None
        self._transport.abort()
