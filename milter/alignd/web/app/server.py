"""Listens with waitress, and bounds what any client may take: time, memory, connections."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

from alignd.config.option_types import ListenAddress
from alignd.web.app.parser import StrictParser
from alignd.web.app.requests import MAX_BODY
from alignd.web.headers import Kind, headers_of

MAX_HEADER = 16_384
"""Octets of the head of a request."""
MAX_CONNECTIONS = 100
"""Of one listener; those who come later wait until one ends."""
REQUEST_SECONDS = 10.0
"""For a request to arrive, and for an answer to be taken, from when the connection was opened or
its last request was answered."""
DRAIN_SECONDS = 3.0
"""For answers that were begun when the service was told to end."""
CROWDED_SECONDS = 2.0
"""The same while nearly all places are taken: who is slow gives way to those who wait."""
_CROWD = 90  # connections
# More than those can hold up who have links to a few domains whose servers are silent: see
# `checker.Limits.waiting`.
_THREADS = 24
_BACKLOG = 128
_ROUND_SECONDS = 0.5
_SWEEP_SECONDS = 1.0


class ListenError(Exception):
    """Nobody can listen there; the text says where and why."""


class Listener:
    """One listener with threads of its own, so that who asks the one cannot hold up the other."""

    def __init__(self, application: WSGIApplication, address: ListenAddress, name: str) -> None:
        """
        Raises:
            ListenError: the address is taken, or is none of this machine.
        """
        self._map: dict[int, Any] = {}
        self._ending = threading.Event()
        self.turns = 0
        """How often it has looked after its connections."""
        self._listening = _bind(address)
        self._server = _serve(application, self._listening, self._map)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        """Take no connection more, and begin to drain."""
        self._ending.set()
        self._server.pull_trigger()

    def join(self) -> None:
        """Wait until what was begun is answered, or DRAIN_SECONDS are over."""
        self._thread.join(DRAIN_SECONDS + 2 * _ROUND_SECONDS)

    def _run(self) -> None:
        swept = time.monotonic()
        while not self._ending.is_set():
            self._turn()
            if time.monotonic() - swept > _SWEEP_SECONDS:
                swept = time.monotonic()
                self._sweep(time.time())
        self._drain()

    def _turn(self) -> None:
        self.turns += 1
        wasyncore.loop(timeout=_ROUND_SECONDS, use_poll=True, map=self._map, count=1)

    def _sweep(self, now: float) -> None:
        """Cut off who is slow to ask, or to take an answer."""
        channels = self._channels()
        seconds = REQUEST_SECONDS if len(channels) < _CROWD else CROWDED_SECONDS
        for channel in channels:
            if not channel.requests and not channel.is_in_time(now, seconds):
                channel.handle_close()

    def _drain(self) -> None:
        self._server.accepting = False
        self._server.del_channel(self._map)
        self._listening.close()
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._is_busy() and time.monotonic() < deadline:
            self._turn()
        self._server.task_dispatcher.shutdown(timeout=0)
        wasyncore.close_all(self._map)

    def _is_busy(self) -> bool:
        return any(each.requests or each.total_outbufs_len for each in self._channels())

    def _channels(self) -> list[_Channel]:
        active: Any = self._server.active_channels  # a dict, whatever its stub says
        return list(active.values())


class _Error(ErrorTask):
    """The answer to what is no request, with the headers that all answers have."""

    def execute(self) -> None:
        request: Any = self.request
        body = b"This is no request that is answered here.\n"
        self.status, _, _ = request.error.to_response(None)
        content = ("Content-Type", "text/plain; charset=utf-8")
        self.response_headers = [*headers_of(Kind.DATA).items(), content]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    """A connection whose client has a bounded time."""

    error_task_class = _Error
    parser_class = StrictParser

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waits_since = self.creation_time

    def service(self) -> None:
        """Answer a request."""
        super().service()
        self._waits_since = time.time()

    def is_in_time(self, now: float, seconds: float) -> bool:
        """Whether its client, who has so many *seconds*, may still go on."""
        return 0 <= now - self._waits_since <= seconds


def _serve(
    application: WSGIApplication, listening: socket.socket, sockets: dict[int, Any]
) -> BaseWSGIServer:
    server = create_server(
        application,
        map=sockets,
        _start=False,
        sockets=[listening],
        threads=_THREADS,
        backlog=_BACKLOG,
        connection_limit=MAX_CONNECTIONS,
        channel_timeout=int(REQUEST_SECONDS),
        cleanup_interval=1,
        max_request_header_size=MAX_HEADER,
        max_request_body_size=MAX_BODY,
        # Who may look is decided by what proxies send: see `access`.
        clear_untrusted_proxy_headers=False,
        log_socket_errors=False,
        expose_tracebacks=False,
        ident="",
    )
    assert isinstance(server, BaseWSGIServer), "there is one socket"
    server.channel_class = _Channel
    server.accept_connections()
    return server


def _bind(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address.host, address.port))
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ListenError(f"{address}: {error.strerror}") from error
    return listening


class LibraryLog(logging.Handler):
    """What waitress and Flask log: the kind of it alone, since paths of links are secrets."""

    def __init__(self, note_failure: Callable[[Exception], None]) -> None:
        super().__init__(logging.ERROR)
        self._note_failure = note_failure

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of an exception, and drop the rest."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception):
            self._note_failure(error)

    def install(self) -> None:
        """Take what they log from now on, in this process."""
        for name in ("waitress", "waitress.queue", "alignd.web"):
            logger = logging.getLogger(name)
            logger.handlers = [self]
            logger.propagate = False
