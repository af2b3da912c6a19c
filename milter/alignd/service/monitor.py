"""Serves over HTTP: /metrics for Prometheus, /healthz and /readyz for probes, /status for doctor.

It is a process of its own and only reads what the others write into shared memory: whatever its
clients do, and however many they are, no mail waits for it.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from alignd.config.option_types import ListenAddress
from alignd.service.processes.auxiliary_process import BEAT_SECONDS
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from alignd.telemetry.prometheus import CONTENT_TYPE, exposition
from alignd.telemetry.status import StatusError, status_json
from alignd.telemetry.status_board import StatusBoard

MAX_CONNECTIONS = 32
"""Connections at a time; one more closes the oldest."""
MAX_REQUEST = 8192
"""Octets of a request line and its header."""
PATIENCE_SECONDS = 5.0
"""How long a client may take, to send its request and to read the answer."""
SILENCE_SECONDS = 10.0
"""A supervisor that has not written its state for this long hangs."""
_LISTEN_AGAIN_SECONDS = 2.0  # after a port that is in use
_WORDS = 3  # of a request line
_USAGE = b"try /metrics, /status, /healthz or /readyz\n"


@dataclass(frozen=True, slots=True)
class _Page:
    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def serve_metrics(
    handler: RequestHandler, listen: ListenAddress, beat: Callable[[], None], log: MessageLog
) -> None:
    """Serve at *listen* until the process ends; *beat* is called every BEAT_SECONDS meanwhile."""
    asyncio.run(_serve_http(handler, listen, beat, log))


async def _serve_http(
    handler: RequestHandler, listen: ListenAddress, beat: Callable[[], None], log: MessageLog
) -> None:
    def log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = type(context.get("exception")).__name__
        log.once_a_minute("metrics request failed", problem=context["message"], error=error)

    asyncio.get_running_loop().set_exception_handler(log_exception)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_beating(beat))
        server = await _listen(handler, listen, log)
        log.service("serving metrics", listen=str(listen))
        await server.serve_forever()


async def _keep_beating(beat: Callable[[], None]) -> None:
    while True:
        beat()
        await asyncio.sleep(BEAT_SECONDS)


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
    """Answers one request on each connection."""

    def __init__(self, metrics: Metrics, board: StatusBoard, version: str) -> None:
        """*version* is that of the service, whatever has been installed over it."""
        self._metrics = metrics
        self._board = board
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
            case b"/status":
                return self._status_page()
            case b"/healthz":
                return _health_page(self._why_not_alive())
            case b"/readyz":
                return _health_page(self._why_not_ready(), self._remark())
            case _:
                return _Page(HTTPStatus.NOT_FOUND, _USAGE)

    def _status_page(self) -> _Page:
        try:
            status = self._board.status(self._metrics, time.time())
        except StatusError as error:
            return _Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode())
        return _Page(HTTPStatus.OK, status_json(status), "application/json")

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
        if state.map_is_missing:
            return "the map of return addresses is missing"
        return self._why_not_alive()

    def _remark(self) -> str:
        """What does not stop mail, and should be seen to."""
        refused = ", ".join(each.value for each in self._metrics.refused_inputs())
        return f" (could not be read again, see the log: {refused})" if refused else ""


def _health_page(problem: str, remark: str = "") -> _Page:
    if problem:
        return _Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n".encode())
    return _Page(HTTPStatus.OK, f"ok{remark}\n".encode())
