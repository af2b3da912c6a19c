"""Asks a ledger that is in a file, over the socket of the process that owns it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeVar

from alignd.ledger.window.protocol import (
    MAX_ANSWER,
    MAX_LINE,
    MalformedError,
    Obstacle,
    WindowError,
    decode_answer,
    encode_question,
)
from alignd.ledger.window.question import MAX_ROWS, Question

T = TypeVar("T")

ANSWER_SECONDS = 30.0
"""For a whole answer. The server gives up before that, and says so."""
_AT_ONCE = 4
"""Questions of one process: a server has room for twice as many."""
_PIECE = 1 << 16  # octets
_MAX_ROWS = 4 * MAX_ROWS  # of a history; no more than these are even looked at


class SocketAsks:
    """The socket at *path*, to which each question has a connection of its own."""

    def __init__(
        self,
        path: str,
        seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._seconds = seconds
        self._clock = clock
        self._free = threading.Semaphore(_AT_ONCE)

    def __call__(self, question: Question[T]) -> T:
        try:
            line = encode_question(question.word, question.fields)
        except MalformedError as error:
            raise WindowError(Obstacle.MALFORMED, f"not a question: {error}") from error
        deadline = self._clock() + self._seconds
        if not self._free.acquire(timeout=self._seconds):
            raise self._slow()
        try:
            with closing(_new_socket()) as peer:
                self._send(peer, line, deadline)
                return question.read(_bounded(decode_answer(self._lines(peer, deadline))))
        except MalformedError as error:
            raise WindowError(Obstacle.BROKEN, f"not an answer: {error}") from error
        finally:
            self._free.release()

    def _send(self, peer: socket.socket, line: bytes, deadline: float) -> None:
        try:
            peer.settimeout(self._left(deadline))
            peer.connect(self._path)
            peer.sendall(line)
        except TimeoutError as error:
            raise self._slow() from error
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have said why before it closed
        except (OSError, ValueError) as error:  # ValueError: it cannot be a path
            problem = f"{self._path}: {getattr(error, 'strerror', '') or error}"
            raise WindowError(Obstacle.UNREACHABLE, problem) from error

    def _lines(self, peer: socket.socket, deadline: float) -> Iterator[bytes]:
        """The lines that come until the end of the stream, without one that is cut off."""
        rest, octets = b"", 0
        while piece := self._piece(peer, deadline):
            octets += len(piece)
            if octets > MAX_ANSWER + MAX_LINE:
                raise WindowError(Obstacle.TOO_LARGE, f"an answer of over {MAX_ANSWER} octets")
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > MAX_LINE:
                raise WindowError(Obstacle.BROKEN, f"a line of over {MAX_LINE} octets")
            yield from lines

    def _piece(self, peer: socket.socket, deadline: float) -> bytes:
        try:
            peer.settimeout(self._left(deadline))
            return peer.recv(_PIECE)
        except TimeoutError as error:
            raise self._slow() from error
        except OSError as error:
            raise WindowError(Obstacle.BROKEN, f"{self._path}: {error.strerror}") from error

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        return left

    def _slow(self) -> WindowError:
        return WindowError(Obstacle.SLOW, f"{self._path}: no answer in {self._seconds:g} s")


def _new_socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_UNIX)
    except OSError as error:  # this process has too many
        raise WindowError(Obstacle.FAILED, error.strerror or str(error)) from error


def _bounded(rows: Iterator[T]) -> Iterator[T]:
    for number, row in enumerate(rows):
        if number >= _MAX_ROWS:
            raise WindowError(Obstacle.TOO_LARGE, f"an answer of over {_MAX_ROWS} rows")
        yield row
