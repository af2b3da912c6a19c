"""The milter of this process: its connections, pymilter's callbacks, and the listening socket."""

from __future__ import annotations

import ctypes
import socket
import sys
from collections.abc import Callable

import milter

from alignd.config.endpoint import HandedOverSocket, MilterSocket, UnixSocket
from alignd.judgement.evidence import Wanted
from alignd.mail.line_length import MAX_LINE
from alignd.mta import listening_socket
from alignd.mta.session import UNASKED, Runtime, Session

MAX_HEADER = 1_000_000
"""Octets of one milter packet. libmilter resets the session above 65,535 unless told otherwise;
Postfix 3.7 cuts a header field at 60,000 when it has milters (measured), others may not."""


class ListenError(RuntimeError):
    """The socket cannot be opened."""


class NotHandedOverError(ListenError):
    """The socket is one that systemd should have handed over, and has not."""


class Sessions:
    """Creates and counts the milter connections of this process."""

    def __init__(
        self,
        current_runtime: Callable[[], Runtime],
        idle_timeout: float,
        probe_id: str | None = None,
    ) -> None:
        """*current_runtime* says what the next message is served with.

        *probe_id* is the queue id of the messages with which the supervisor probes the service.

        A connection that is silent for *idle_timeout* seconds is cut within the ten minutes
        after: libmilter looks only that often (worker.c, DT_CHECK_OLD_SESSIONS).
        """
        self.idle_timeout = idle_timeout
        self._current_runtime = current_runtime
        self._probe_id = probe_id
        self._unasked = UNASKED
        self._wanted: frozenset[str] = frozenset()
        self._wants_all = False
        self._short = sys.maxsize  # octets of name and value in which no line can be too long
        # Counted here, and not by milter.getdiag(): a context counts there until it is freed,
        # which an exception that refers to its frame may put off for ever (measured).
        self._open: set[Session] = set()  # each change is one step, safe for threads
        self._refused: set[Session] = set()
        self.served: dict[int, Session] = {}
        """Sessions that are not refused, by descriptor, as far as those can be told."""
        self._descriptor_of: Callable[[object], int | None] = lambda _context: None

    def __len__(self) -> int:
        return len(self._open)

    def longest_judgement(self, now: float) -> float:
        """For how many seconds the judgement has been in progress that began first; 0 if none is.

        *now* is monotonic time.
        """
        return max((0.0, *(now - each.judging_since for each in list(self._open))))

    def number_served(self) -> int:
        """How many sessions are open that were not refused."""
        return len(self._open) - len(self._refused)

    def read_descriptors_with(self, descriptor_of: Callable[[object], int | None]) -> None:
        """Fill `served` from now on: *descriptor_of* tells the descriptor of a context."""
        self._descriptor_of = descriptor_of

    def serve_over(self, family: socket.AddressFamily) -> None:
        """Negotiate for connections over this kind of socket.

        Over TCP what Postfix sends of the header waits until what it has sent before is
        acknowledged, and the kernel does that after 40 ms or with an answer: so DATA is asked
        for, and answered (measured; answers to earlier events do not help).
        """
        if family != socket.AF_UNIX:
            self._unasked &= ~milter.P_NODATA

    def want(self, wanted: Wanted) -> None:
        """Collect the fields that are *wanted* too; those wanted before are kept.

        A message in progress at a reload still needs the fields of the old configuration.
        """
        self._wanted |= wanted.fields
        self._wants_all = self._wants_all or wanted.whole_message
        if wanted.line_length:
            self._short = MAX_LINE - len(": ")

    def field(self, context: milter.milterContext, name: str, value: bytes) -> int:
        """Handle a header field. There are many, and most are not wanted: return early."""
        if self._wants_all or name.lower() in self._wanted or len(name) + len(value) > self._short:
            context.getpriv().field(name, value)
        return milter.NOREPLY

    def begin(self, context: milter.milterContext, offer: list[int]) -> int:
        """Open a session for a connection, which begins with its negotiation."""
        session = Session(
            context, self._current_runtime, self.number_served, self._unasked, self._probe_id
        )
        context.setpriv(session)
        self._open.add(session)
        answer = session.negotiate(offer)
        if session.is_refused:
            self._refused.add(session)
        elif (descriptor := self._descriptor_of(context)) is not None:
            session.descriptor = descriptor
            self.served[descriptor] = session
        return answer

    def close(self, context: milter.milterContext) -> int:
        """Close the session of a connection that has ended."""
        session = context.getpriv()
        if isinstance(session, Session):
            self._open.discard(session)
            self._refused.discard(session)
            # libmilter closes the descriptor after this call.
            self.served.pop(session.descriptor, None)
            session.close(self.idle_timeout)
        context.setpriv(None)
        return milter.CONTINUE


def listen(where: MilterSocket, sessions: Sessions) -> None:
    """Register the callbacks and listen on *where*.

    Raises:
        ListenError: the socket cannot be opened.
        NotHandedOverError: there is none to open.
    """
    milter.set_exception_policy(milter.TEMPFAIL)
    milter.set_connect_callback(lambda ctx, *client: ctx.getpriv().connect(client[2]))
    milter.set_helo_callback(lambda ctx, name: ctx.getpriv().helo(name))
    milter.set_envfrom_callback(lambda ctx, sender, *_: ctx.getpriv().mail(sender))
    milter.set_envrcpt_callback(lambda ctx, to, *_: ctx.getpriv().recipient(to))
    milter.set_header_callback(sessions.field)
    milter.set_body_callback(lambda ctx, chunk: ctx.getpriv().body(chunk))
    milter.set_eom_callback(lambda ctx: ctx.getpriv().end_of_message())
    milter.set_abort_callback(lambda ctx: ctx.getpriv().abort())
    milter.set_close_callback(sessions.close)
    milter.register("alignd", data=lambda _ctx: milter.CONTINUE, negotiate=sessions.begin)
    # pymilter does not offer this call of the library that it is linked with.
    ctypes.CDLL(milter.__file__).smfi_setmaxdatasize(ctypes.c_size_t(MAX_HEADER))
    if isinstance(where, UnixSocket) and listening_socket.is_served(where.path):
        raise ListenError(f"{where}: another process serves it")
    if (
        isinstance(where, HandedOverSocket)
        and where.descriptor not in listening_socket.listening()
    ):
        raise NotHandedOverError(f"{where}: systemd has handed over no socket")
    try:
        milter.setconn(str(where))
        milter.settimeout(int(sessions.idle_timeout))
        milter.opensocket(True)  # True: remove a socket file that a dead process left
    except milter.error as error:
        raise ListenError(f"{where}: {error}") from error
    sessions.serve_over(listening_socket.address()[0])


def serve() -> None:
    """Serve until the process ends, in a thread that is not the main one.

    In the main thread libmilter would take HUP, TERM and INT for itself (measured).
    """
    milter.main()
