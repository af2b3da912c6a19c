"""A worker's side of the archive: gives it answers, and asks it when DNS has failed.

No message waits for the disk, and for the archive a moment at most: when that does not reply, it
is left alone for a while.
"""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable

import dns.exception
import dns.message

from alignd.mailauth.dns import Answer, LookupFailed
from alignd.resolver.archive.datagrams import (
    HeardAnswer,
    Reply,
    decode_reply,
    encode_question,
    in_batches,
    key_of,
)
from alignd.resolver.cache import LARGE, Question
from alignd.resolver.wire import ReceivedAnswer, read_response

PATIENCE = 0.02
"""Seconds that a message waits for a reply, which takes a fraction of a millisecond."""
WAITING_OCTETS = 2**20
"""Of answers that wait for the archive to take them; what comes beyond is dropped."""
_BATCH_SECONDS = 0.05
_FIRST_ABSENCE, _LONGEST_ABSENCE = 1.0, 30.0  # seconds
_SEND_AGAIN_SECONDS = 1.0
_LAST_SECONDS = 0.5  # for what waits to be sent at the end
_MAX_REPLY = LARGE + 64  # octets
_ABSENT = LookupFailed("the archive does not respond")
_NOT_READ = LookupFailed("the archive has not read its file yet")


class ArchiveClient:
    """Implements the resolver's `Archive`; one in a process, safe for threads."""

    def __init__(
        self,
        answers: socket.socket,
        questions: socket.socket,
        dropped: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """The sockets lead to the archive; nobody else reads from *questions*.

        *dropped* is called for each answer that is not archived, *failed* with what a thread
        raises and survives.
        """
        self._answers = answers
        self._questions = questions
        self._dropped = dropped
        self._failed = failed
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = WAITING_OCTETS
        self._lock = threading.Lock()
        self._sender: threading.Thread | None = None
        self._has_ended = threading.Event()
        self._asking = threading.Lock()
        self._absent_until = 0.0
        self._absence = _FIRST_ABSENCE

    def put(self, question: Question, response: bytes) -> None:
        """Give the archive a response that has just arrived; it is sent in the background."""
        key = key_of(question)
        if key is None or len(response) > LARGE:
            return
        answer = HeardAnswer(key, time.monotonic(), response).encoded()
        with self._lock:
            has_room = len(answer) <= self._room and self._has_sender()
            if has_room:
                self._room -= len(answer)
                self._waiting.put(answer)
        if not has_room:
            self._dropped()

    def get(self, question: Question) -> Answer | LookupFailed | None:
        """Ask for the last known answer; None when there is none that is not too old."""
        key = key_of(question)
        if key is None:
            return None
        # One thread asks at a time, which takes it no longer than the wait for its turn.
        if self._is_absent() or not self._asking.acquire(timeout=PATIENCE):
            return _ABSENT
        try:
            reply = None if self._is_absent() else self._ask(key)
        finally:
            self._asking.release()
        if reply is None:
            return _ABSENT
        if reply.response is None:
            return None if reply.has_read else _NOT_READ
        return _read(reply.response)

    def end(self) -> None:
        """Send what waits, as far as that is possible in a moment, and take nothing more."""
        self._has_ended.set()
        self._waiting.put(None)
        if self._sender is not None:
            self._sender.join(_LAST_SECONDS)

    def _is_absent(self) -> bool:
        return time.monotonic() < self._absent_until

    def _ask(self, key: str) -> Reply | None:
        number = int.from_bytes(os.urandom(8), "big")  # the worker before this one asked as well
        deadline = time.monotonic() + PATIENCE
        while self._receive() is not None:
            continue  # replies that came too late for whoever asked
        try:
            self._questions.send(encode_question(number, key), socket.MSG_DONTWAIT)
        except BlockingIOError:  # it has not even taken what was asked before
            self._note_absence()
            return None
        poll = select.poll()
        poll.register(self._questions, select.POLLIN)
        is_over = False
        while not is_over:
            poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            # Looked at before the reply: on a busy machine this thread may wake up much later
            # than the reply came.
            is_over = time.monotonic() >= deadline
            while (received := self._receive()) is not None:
                if received[0] == number:
                    self._absence = _FIRST_ABSENCE
                    return received[1]
        self._note_absence()
        return None

    def _receive(self) -> tuple[int, Reply] | None:
        try:
            return decode_reply(self._questions.recv(_MAX_REPLY, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return None

    def _note_absence(self) -> None:
        self._absent_until = time.monotonic() + self._absence
        self._absence = min(2 * self._absence, _LONGEST_ABSENCE)

    def _has_sender(self) -> bool:
        """Whether a thread lives that sends what is put; starts one if need be."""
        if self._has_ended.is_set():
            return False
        if self._sender is None or not self._sender.is_alive():
            sender = threading.Thread(target=self._send_all, name="dns archive", daemon=True)
            try:
                sender.start()
            except RuntimeError:  # no thread is left: the next answer tries again
                return False
            self._sender = sender
        return True

    def _send_all(self) -> None:
        while not self._has_ended.is_set() or not self._waiting.empty():
            answers = [self._waiting.get()]
            self._has_ended.wait(_BATCH_SECONDS)
            while not self._waiting.empty():
                answers.append(self._waiting.get())
            for batch in in_batches(answer for answer in answers if answer is not None):
                try:
                    self._send(b"".join(batch))
                except Exception as error:  # the thread has others to send
                    self._failed(error)
                    for _ in batch:
                        self._dropped()
                with self._lock:
                    self._room += sum(map(len, batch))

    def _send(self, datagram: bytes) -> None:
        """Send as soon as there is room, however long that takes; meanwhile, others wait."""
        poll = select.poll()
        poll.register(self._answers, select.POLLOUT)
        while True:
            try:
                self._answers.send(datagram, socket.MSG_DONTWAIT)
            except BlockingIOError:
                poll.poll(_SEND_AGAIN_SECONDS * 1000)
            else:
                return


def _read(response: bytes) -> Answer | LookupFailed:
    try:
        outcome = read_response(dns.message.from_wire(response))
    except dns.exception.DNSException as error:
        return LookupFailed(f"not an answer: {type(error).__name__}")
    return outcome.answer if isinstance(outcome, ReceivedAnswer) else outcome
