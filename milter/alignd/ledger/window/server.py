"""Answers questions about a ledger in a file, for processes that may not read that file.

It runs in threads of the process that owns the ledger, beside those that count. So few questions
are open at a time, one is worked on, and beside it one that takes milliseconds, and all of them
together get a part of a core. Whatever comes ends with an answer, an obstacle, or a closed
connection.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from alignd.ledger.database import give_up_when
from alignd.ledger.pause import Pause
from alignd.ledger.window.database import DatabaseAsks
from alignd.ledger.window.protocol import (
    MAX_ANSWER,
    MAX_QUESTION,
    Obstacle,
    WindowError,
    encode_end,
    encode_obstacle,
    encode_row,
)
from alignd.ledger.window.questions import (
    AnyQuestion,
    HistoryQuestion,
    RelaysQuestion,
    read_question,
)
from alignd.ledger.window.share import ProcessorShare
from alignd.ledger.window.spans import ReceiversQuestion

ANSWERED, UNFINISHED = "answered", "unfinished"
"""What may come of a connection besides an `Obstacle`; UNFINISHED: the client was too slow, or
went away."""
_SHARE, _SAVED_SECONDS = 0.25, 3.0
"""Of a core, for all questions. Of a list of 10,000 domains, which takes a second, there are three
at once and one more each four seconds."""
_EACH_SECOND, _SAVED_CONNECTIONS = 100.0, 400.0
"""Connections: each is a thread of the process that counts mail, also if it asks nothing."""
_ROUND_SECONDS = 0.5
_GRACE_SECONDS = 0.1
"""For another connection to end: who has its answer may ask again before that is noted."""
_PIECE = 1 << 16  # octets that are sent at a time
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two attempts to listen


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take; all of it together is less than `client.ANSWER_SECONDS`."""

    connections: int = 8
    """At a time: each may hold an answer in memory."""
    question_seconds: float = 2.0
    """For a question to arrive."""
    turn_seconds: float = 8.0
    """To wait while others are answered."""
    work_seconds: float = 10.0
    """For the database to answer."""
    answer_seconds: float = 8.0
    """For an answer to be taken."""


class WindowServer:
    """Listens, and has a thread for each connection."""

    def __init__(
        self,
        url: str,
        listen: Callable[[], socket.socket],
        count: Callable[[str], None],
        note_failure: Callable[[Exception], None],
        limits: Limits = Limits(),
    ) -> None:
        """*url* is that of the file. *listen* opens the socket, and may raise OSError. *count* is
        called with what came of each connection, *note_failure* with a bug.
        """
        self._database = DatabaseAsks(url)
        self._listen = listen
        self._count = count
        self._note_failure = note_failure
        self._limits = limits
        self._free = threading.Semaphore(limits.connections)
        self._turn = threading.Lock()
        """Whose turn it is to ask the file for all domains."""
        self._short_turn = threading.Lock()
        """The same for what takes milliseconds: it does not wait for what takes seconds."""
        self._share_lock = threading.Lock()
        """Of the next one."""
        self._share = ProcessorShare(_SHARE, _SAVED_SECONDS, time.monotonic())
        self._connections = ProcessorShare(_EACH_SECOND, _SAVED_CONNECTIONS, time.monotonic())
        """How many may come; for the thread that listens."""
        self.problem = ""
        """Why nobody can ask; empty where they can."""

    def run(self, ended: threading.Event) -> None:
        """Serve until *ended*."""
        pause = Pause(_FIRST_PAUSE, _LONGEST_PAUSE)
        while not ended.is_set():
            try:
                with closing(self._listen()) as listening:
                    self.problem = ""
                    pause.end()
                    self._accept(listening, ended)
            except OSError as error:
                self.problem = error.strerror or str(error)
                ended.wait(pause.after_failure())

    def _accept(self, listening: socket.socket, ended: threading.Event) -> None:
        listening.settimeout(_ROUND_SECONDS)
        while not ended.wait(self._connections.wait(time.monotonic())):
            try:
                peer, _ = listening.accept()
            except (TimeoutError, ConnectionError):  # it may be gone again
                continue
            self._connections.spend(1.0, time.monotonic())
            if self._free.acquire(timeout=_GRACE_SECONDS):
                self._begin(peer)
            else:
                with closing(peer):
                    self._refuse(peer, WindowError(Obstacle.BUSY, "too many ask at the same time"))

    def _begin(self, peer: socket.socket) -> None:
        thread = threading.Thread(
            target=self._serve, args=(peer,), name="ledger question", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # there is no room for a thread
            peer.close()
            self._free.release()
            raise OSError(str(error)) from error

    def _serve(self, peer: socket.socket) -> None:
        result = UNFINISHED
        try:
            with closing(peer):
                result = self._converse(peer)
        except OSError:  # of the client's socket: it has gone, or takes nothing
            pass
        except Exception as error:  # a bug: the next one asks something else
            result = Obstacle.FAILED.value
            self._note_failure(error)
        finally:
            self._free.release()
            self._count(result)

    def _converse(self, peer: socket.socket) -> str:
        try:
            line = self._question(peer)
            if line is None:
                return UNFINISHED
            pieces = self._answer(read_question(line))
        except WindowError as error:
            self._send(peer, [encode_obstacle(error)])
            return error.obstacle.value
        except OSError:
            raise
        except Exception:
            self._send(peer, [encode_obstacle(WindowError(Obstacle.FAILED, "a bug"))])
            raise
        self._send(peer, pieces)
        return ANSWERED

    def _question(self, peer: socket.socket) -> bytes | None:
        """The line that the client sends, without its end; None if it sends less."""
        deadline = time.monotonic() + self._limits.question_seconds
        octets = b""
        while b"\n" not in octets:
            if len(octets) >= MAX_QUESTION:
                problem = f"a question of over {MAX_QUESTION} octets"
                raise WindowError(Obstacle.MALFORMED, problem)
            peer.settimeout(max(0.001, deadline - time.monotonic()))
            if not (some := peer.recv(MAX_QUESTION - len(octets))):
                return None
            octets += some
        line, _, more = octets.partition(b"\n")
        if more:
            raise WindowError(Obstacle.MALFORMED, "more than one question")
        return line

    def _answer(self, question: AnyQuestion) -> list[bytes]:
        turn = self._short_turn if _is_short(question) else self._turn
        if not turn.acquire(timeout=self._limits.turn_seconds):
            raise WindowError(Obstacle.BUSY, "others ask too much")
        try:
            self._await_share()
            began = time.thread_time()
            try:
                return self._pieces(question)
            finally:
                spent = time.thread_time() - began
                with self._share_lock:
                    self._share.spend(spent, time.monotonic())
        finally:
            turn.release()

    def _await_share(self) -> None:
        with self._share_lock:
            wait = self._share.wait(time.monotonic())
        if wait > self._limits.turn_seconds:
            raise WindowError(Obstacle.BUSY, "others ask too much")
        time.sleep(wait)

    def _pieces(self, question: AnyQuestion) -> list[bytes]:
        """The whole answer: nobody holds the file open, and its log, while a client takes it."""
        deadline = time.monotonic() + self._limits.work_seconds
        pieces, rows, octets = list[bytes](), 0, 0
        try:
            with self._database.opened() as connection:
                give_up_when(connection, lambda: time.monotonic() > deadline)
                for row in question.rows(connection):
                    pieces.append(encode_row(row))
                    rows, octets = rows + 1, octets + len(pieces[-1])
                    if octets > MAX_ANSWER:
                        problem = f"an answer of over {MAX_ANSWER} octets"
                        raise WindowError(Obstacle.TOO_LARGE, problem)
        except WindowError as error:
            if error.obstacle is Obstacle.DATABASE and time.monotonic() > deadline:
                problem = f"the ledger took over {self._limits.work_seconds:g} s"
                raise WindowError(Obstacle.SLOW, problem) from error
            raise
        return [*pieces, encode_end(rows)]

    def _send(self, peer: socket.socket, lines: Sequence[bytes]) -> None:
        deadline = time.monotonic() + self._limits.answer_seconds
        answer = memoryview(b"".join(lines))
        for start in range(0, len(answer), _PIECE):
            peer.settimeout(max(0.001, deadline - time.monotonic()))
            peer.sendall(answer[start : start + _PIECE])

    def _refuse(self, peer: socket.socket, error: WindowError) -> None:
        self._count(error.obstacle.value)
        peer.setblocking(False)
        with suppress(OSError):  # it may have gone
            peer.send(encode_obstacle(error))


def _is_short(question: AnyQuestion) -> bool:
    """Whether it is of one domain, or of the relays."""
    match question:
        case HistoryQuestion() | RelaysQuestion():
            return True
        case ReceiversQuestion(domain=domain):
            return domain is not None
    return False
