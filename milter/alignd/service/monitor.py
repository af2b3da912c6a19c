"""Serves over HTTP: /metrics for Prometheus, /healthz and /readyz for probes.

It is a process of its own and only reads what the others write into shared memory: whatever its
clients do, and however many they are, no mail waits for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from alignd.config.option_types import ListenAddress
from alignd.mta import listening_socket
from alignd.service import child_process
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from alignd.telemetry.prometheus import CONTENT_TYPE, exposition, installed_version

MAX_CONNECTIONS = 32
"""Connections at a time; one more closes the oldest."""
MAX_REQUEST = 8192
"""Octets of a request line and its header."""
PATIENCE_SECONDS = 5.0
"""How long a client may take, to send its request and to read the answer."""
SILENCE_SECONDS = 10.0
"""A supervisor that has not written its state for this long hangs."""
_LISTEN_AGAIN_SECONDS = 2.0  # after a port that is in use
_RESTART_SECONDS = 1.0  # at least, between two starts
_WORDS = 3  # of a request line
_USAGE = b"try /metrics, /healthz or /readyz\n"


@dataclass(frozen=True, slots=True)
class _Page:
    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class Monitor:
    """The parent's side: starts the process, replaces and stops it."""

    def __init__(
        self, metrics: Metrics, log: MessageLog, close_inherited: Callable[[], None]
    ) -> None:
        """*close_inherited* is called in the child, and closes descriptors of the parent."""
        self._metrics = metrics
        self._version = installed_version()
        self._log = log
        self._close_inherited = close_inherited
        self._pid: int | None = None
        self._listen: ListenAddress | None = None
        self._next_start = 0.0

    def keep_running(self, listen: ListenAddress | None) -> None:
        """Let it serve at *listen*, or not at all; replace it when it has died."""
        if self._pid is not None and os.waitpid(self._pid, os.WNOHANG)[0]:
            self._log.service("metrics process ended and is replaced", pid=self._pid)
            self._pid = None
        if listen != self._listen:
            self.stop()
            self._listen, self._next_start = listen, 0.0
        if listen is not None and self._pid is None and time.monotonic() >= self._next_start:
            self._next_start = time.monotonic() + _RESTART_SECONDS
            self._pid = child_process.fork("metrics process", lambda: self._run(listen), self._log)

    def stop(self) -> None:
        """Kill it: it has nothing to lose."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None

    def _run(self, listen: ListenAddress) -> int:
        self._log.count_dropped(self._metrics.of_monitor().line_dropped)
        self._close_inherited()
        listening_socket.stop_listening()  # on the milter's socket, which is the workers'
        handler = RequestHandler(self._metrics, self._version)
        asyncio.run(_serve_http(handler, listen, self._log))
        return os.EX_OK


async def _serve_http(handler: RequestHandler, listen: ListenAddress, log: MessageLog) -> None:
    def log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = type(context.get("exception")).__name__
        log.once_a_minute("metrics request failed", problem=context["message"], error=error)

    asyncio.get_running_loop().set_exception_handler(log_exception)
    server = await _listen(handler, listen, log)
    log.service("serving metrics", listen=str(listen))
    await server.serve_forever()


async def _listen(
    handler: RequestHandler, listen: ListenAddress, log: MessageLog
) -> asyncio.Server:
    """Listen, however long something else has the port."""
    complained = False
    while True:
        try:
            return await asyncio.start_server(
                handler.handle, listen.host, listen.port, limit=MAX_REQUEST
            )
        except OSError as error:
            if not complained:
                problem = error.strerror or str(error)
                log.service(
                    "cannot serve metrics (mail is not affected)",
                    listen=str(listen),
                    problem=problem,
                )
                complained = True
            await asyncio.sleep(_LISTEN_AGAIN_SECONDS)


class RequestHandler:
    """The child's side: answers one request on each connection."""

    def __init__(self, metrics: Metrics, version: str) -> None:
        """*version* is that of the service, whatever has been installed over it."""
        self._metrics = metrics
        self._version = version
        self._open: dict[StreamWriter, None] = {}  # oldest first

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer the request on a new connection, and close it."""
        if len(self._open) >= MAX_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._respond(reader, writer)
        except (OSError, EOFError, TimeoutError):
            return  # the client went away, or is too slow
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _respond(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            header = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            header = b""
        method, page = self._route(header.partition(b"\r\n")[0])
        fields = (
            f"HTTP/1.1 {page.status.value} {page.status.phrase}",
            f"Content-Type: {page.content_type}",
            f"Content-Length: {len(page.body)}",
            "Allow: GET, HEAD",
            "Connection: close",
        )
        writer.write("\r\n".join((*fields, "", "")).encode("ascii"))
        if method != b"HEAD":
            writer.write(page.body)
        writer.close()
        await writer.wait_closed()

    def _route(self, request: bytes) -> tuple[bytes, _Page]:
        words = request.split(b" ")
        if len(words) != _WORDS or not words[2].startswith(b"HTTP/1."):
            return b"", _Page(HTTPStatus.BAD_REQUEST, _USAGE)
        method, target, _ = words
        if method not in {b"GET", b"HEAD"}:
            return method, _Page(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n")
        return method, self._page(target.partition(b"?")[0])

    def _page(self, path: bytes) -> _Page:
        match path:
            case b"/metrics":
                return _Page(HTTPStatus.OK, exposition(self._metrics, self._version), CONTENT_TYPE)
            case b"/healthz":
                return _health_page(self._why_not_alive())
            case b"/readyz":
                return _health_page(self._why_not_ready())
            case _:
                return _Page(HTTPStatus.NOT_FOUND, _USAGE)

    def _why_not_alive(self) -> str:
        state = self._metrics.read_state()
        if time.monotonic() - state.updated > SILENCE_SECONDS:
            return "the supervisor does not respond"
        return "" if state.workers_ready else "no worker is ready"

    def _why_not_ready(self) -> str:
        state = self._metrics.read_state()
        if state.is_ending:
            return "the service is stopping"
        if state.workers_ready < state.workers_wanted:
            return f"{state.workers_ready} of {state.workers_wanted} workers are ready"
        return self._why_not_alive()


def _health_page(problem: str) -> _Page:
    if problem:
        return _Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n".encode())
    return _Page(HTTPStatus.OK, b"ok\n")
