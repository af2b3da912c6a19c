"""Shows over HTTP how the service is: /metrics for Prometheus, /healthz and /readyz for probes.

It does so in a process of its own, which only reads what the others write into shared memory:
whatever its clients do, and however many they are, nobody else waits for it.
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
from alignd.telemetry.prometheus import CONTENT_TYPE, exposition

MAX_CONNECTIONS = 32
"""So many at the same time; another one ends the oldest."""
MAX_REQUEST = 8192
"""Octets of a request's header."""
PATIENCE_SECONDS = 5.0
"""How long a client may take, for its request and for reading the answer."""
SILENCE_SECONDS = 10.0
"""A supervisor that shows no life for so long hangs."""
_RETRY_SECONDS = 2.0  # after which it is tried again to listen
_RESTART_SECONDS = 1.0  # at the least between two starts
_WORDS = 3  # of a request line
_TRY = b"try /metrics, /healthz or /readyz\n"


@dataclass(frozen=True, slots=True)
class _Page:
    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class Monitor:
    """The process that answers, as its parent sees it: started, replaced, ended."""

    def __init__(self, metrics: Metrics, log: MessageLog, let_go: Callable[[], None]) -> None:
        """*let_go* is done in the new process, to close what is the parent's alone."""
        self._metrics = metrics
        self._log = log
        self._let_go = let_go
        self._pid: int | None = None
        self._listen: ListenAddress | None = None
        self._next_start = 0.0

    def tend(self, listen: ListenAddress | None) -> None:
        """Have it answer at *listen*, or nowhere; replace it when it has died."""
        if self._pid is not None and os.waitpid(self._pid, os.WNOHANG)[0]:
            self._log.service("monitor ended and is replaced", pid=self._pid)
            self._pid = None
        if listen != self._listen:
            self.end()
            self._listen, self._next_start = listen, 0.0
        if listen is not None and self._pid is None and time.monotonic() >= self._next_start:
            self._next_start = time.monotonic() + _RESTART_SECONDS
            self._pid = child_process.fork("monitor", lambda: self._run(listen), self._log)

    def end(self) -> None:
        """End it at once: it has nothing to lose."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None

    def _run(self, listen: ListenAddress) -> int:
        self._let_go()
        listening_socket.stop_listening()  # to the MTA: that is the workers' part
        asyncio.run(_serve(self._metrics, listen, self._log))
        return os.EX_OK


async def _serve(metrics: Metrics, listen: ListenAddress, log: MessageLog) -> None:
    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = type(context.get("exception")).__name__
        log.once_a_minute("monitor failed", problem=context["message"], error=error)

    asyncio.get_running_loop().set_exception_handler(report)
    server = await _open(Answering(metrics), listen, log)
    log.service("metrics are served", listen=str(listen))
    await server.serve_forever()


async def _open(answering: Answering, listen: ListenAddress, log: MessageLog) -> asyncio.Server:
    complained = False
    while True:
        try:
            return await asyncio.start_server(
                answering.serve, listen.host, listen.port, limit=MAX_REQUEST
            )
        except OSError as error:
            if not complained:
                problem = error.strerror or str(error)
                log.service("metrics are not served, mail is", listen=str(listen), problem=problem)
                complained = True
            await asyncio.sleep(_RETRY_SECONDS)


class Answering:
    """What the process does with its connections: one request each."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open: dict[StreamWriter, None] = {}  # the oldest first

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer the request on a new connection, and hang up."""
        if len(self._open) >= MAX_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._answer(reader, writer)
        except (OSError, EOFError, TimeoutError):
            return  # it went away, or is too slow
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            header = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            header = b""
        method, page = self._respond(header.partition(b"\r\n")[0])
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

    def _respond(self, request: bytes) -> tuple[bytes, _Page]:
        words = request.split(b" ")
        if len(words) != _WORDS or not words[2].startswith(b"HTTP/1."):
            return b"", _Page(HTTPStatus.BAD_REQUEST, _TRY)
        method, target, _ = words
        if method not in {b"GET", b"HEAD"}:
            return method, _Page(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n")
        return method, self._page(target.partition(b"?")[0])

    def _page(self, path: bytes) -> _Page:
        match path:
            case b"/metrics":
                return _Page(HTTPStatus.OK, exposition(self._metrics), CONTENT_TYPE)
            case b"/healthz":
                return _verdict(self._why_not_alive())
            case b"/readyz":
                return _verdict(self._why_not_ready())
            case _:
                return _Page(HTTPStatus.NOT_FOUND, _TRY)

    def _why_not_alive(self) -> str:
        life = self._metrics.life()
        if time.monotonic() - life.last_sign > SILENCE_SECONDS:
            return "the supervisor is silent"
        return "" if life.workers_ready else "no worker is ready"

    def _why_not_ready(self) -> str:
        life = self._metrics.life()
        if life.is_ending:
            return "the service is ending"
        if life.workers_ready < life.workers_wanted:
            return f"{life.workers_ready} of {life.workers_wanted} workers are ready"
        return self._why_not_alive()


def _verdict(problem: str) -> _Page:
    if problem:
        return _Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n".encode())
    return _Page(HTTPStatus.OK, b"ok\n")
