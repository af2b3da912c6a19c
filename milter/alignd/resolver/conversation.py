"""What is said to one nameserver about one question, over UDP and TCP, in a way it understands.

Its sockets are connected: the kernel drops what others send, however an address is spelled, and
says at once where nobody listens.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, cycle, repeat

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from alignd.config.option_types import Nameserver
from alignd.mail.printable import printable
from alignd.mailauth.dns import LookupFailed
from alignd.resolver.nameserver_states import NameserverStates, Protocol
from alignd.resolver.spare_sockets import SpareSockets
from alignd.resolver.wire import is_costly

_BACKOFF = 2  # how much longer each wait is than the one before, RFC 6298, section 5.5
_RETRY_SECONDS = 0.1  # until the first new try where nobody listens: it may be restarting
_EDNS_PAYLOAD = 1232  # octets, the size that is safe from fragments (DNS flag day 2020)
_MAX_DATAGRAM = 65535
_SIZE = struct.Struct("!H")  # before a message over TCP
_SIOCGIFINDEX = 0x8933  # netdevice(7)
_IFREQ = struct.Struct("=16si20x")  # struct ifreq, with the number of an interface
_MAX_INTERFACE = 15  # octets of its name
_PASSING = frozenset({None, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that say nothing of the nameserver; None is that of `SpareSockets`."""
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
_FINAL = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})
_NO_EDNS = frozenset({dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS})
"""What a nameserver says that does not understand EDNS, or its version (RFC 6891, section 7)."""
_IN_EVERY_WAY = (Protocol.EDNS, Protocol.PLAIN, Protocol.TCP)
_FIRST = {
    Protocol.UNKNOWN: (),
    Protocol.EDNS: (Protocol.EDNS, Protocol.EDNS, Protocol.PLAIN, Protocol.TCP),
    Protocol.PLAIN: (Protocol.PLAIN, Protocol.PLAIN, Protocol.EDNS, Protocol.TCP),
    Protocol.TCP: (Protocol.TCP,),
}
"""How a nameserver is asked that understood this protocol; what follows is `_IN_EVERY_WAY`."""

Message = dns.message.Message
Question = tuple[dns.name.Name, dns.rdatatype.RdataType]


@dataclass(frozen=True, slots=True)
class NotAsked(LookupFailed):
    """No nameserver could be sent the query: says nothing of DNS, and may be over at once."""


@dataclass(frozen=True, slots=True)
class Silence:
    """No nameserver answered, not even with an error: DNS may be down as a whole."""


Outcome = LookupFailed | Silence


def family_of(nameserver: Nameserver) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in nameserver.address else socket.AF_INET


def socket_address(nameserver: Nameserver, opened: socket.socket) -> tuple[str | int, ...]:
    """Where *opened* reaches *nameserver*, as connect(2) takes it, without a look-up.

    Raises:
        OSError: there is no interface of that name.
    """
    address = nameserver.address, nameserver.port
    return (*address, 0, _interface(nameserver.scope, opened)) if nameserver.scope else address


def _interface(scope: str, opened: socket.socket) -> int:
    """The number of an interface, by its name or number.

    Asked anew each time, as an interface that comes back has another number. if_nametoindex(3)
    would open a socket for it, for which there may be no descriptor.
    """
    name = os.fsencode(scope)
    if len(name) <= _MAX_INTERFACE:
        try:
            answer = fcntl.ioctl(opened, _SIOCGIFINDEX, _IFREQ.pack(name, 0))
            return int(_IFREQ.unpack(answer)[1])
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
    if scope.isascii() and scope.isdigit():
        return int(scope)
    raise OSError(errno.ENODEV, f"no interface {printable(scope)}")


class Sockets:
    """The sockets of one exchange, watched together; closed, or given back, with it."""

    def __init__(self, spare: SpareSockets, deadline: float) -> None:
        self._spare = spare
        self._deadline = deadline
        self._open = ExitStack()
        self._is_empty = True
        # select() takes no descriptor above 1023, and a worker has one for each connection; epoll
        # needs a descriptor of its own.
        self._selector = selectors.PollSelector()

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._open.close()

    def connect(self, nameserver: Nameserver, kind: socket.SocketKind) -> socket.socket:
        """A socket that is connected to *nameserver*, or about to be; it never waits itself.

        Raises:
            OSError: no route, no IPv6, nobody listens, or no descriptor is left.
        """
        opened = self._opened(family_of(nameserver), kind)
        opened.setblocking(False)
        _check(opened.connect_ex(socket_address(nameserver, opened)), errno.EINPROGRESS)
        return opened

    def watch(
        self, opened: socket.socket, event: int, receive: Callable[[], Message | None]
    ) -> None:
        """Call *receive* whenever *event* of `selectors` is there, and nothing else any longer."""
        self.ignore(opened)
        self._selector.register(opened, event, receive)

    def ignore(self, opened: socket.socket) -> None:
        if opened in self._selector.get_map():
            self._selector.unregister(opened)

    def receive_until(self, moment: float) -> Message | None:
        """Wait for what comes next, until the monotonic time *moment*; the answer that it is."""
        for key, _ in self._selector.select(max(0.0, moment - time.monotonic())):
            # Looked at anew: what came over one may have ended the use of the other.
            is_watched = key.fileobj in self._selector.get_map()
            if is_watched and (answer := key.data()) is not None:
                return answer  # type: ignore[no-any-return]
        return None

    def _opened(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        try:
            opened = self._open.enter_context(socket.socket(family, kind))
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            # Who has one does not wait for a second, or all would wait for one another.
            patience = self._deadline - time.monotonic() if self._is_empty else 0.0
            opened = self._open.enter_context(self._spare.borrow(family, kind, patience))
        self._is_empty = False
        return opened


@dataclass(frozen=True, slots=True)
class _Transmission:
    """A query over UDP. Each has an id of its own, so that an answer tells which one it is to.

    To forge an answer that is late, one of four numbers is to be guessed, and the port.
    """

    query: Message
    protocol: Protocol
    sent: float


class _Stream:
    """A query over TCP, and what has come of its response (RFC 7766, section 8).

    Not by dns.query.tcp(), which waits, opens two descriptors, and reads whatever comes.
    """

    def __init__(self, opened: socket.socket, query: Message) -> None:
        self.socket = opened
        self.query = query
        wire = query.to_wire()
        self.to_send = _SIZE.pack(len(wire)) + wire
        self._received = b""

    def advance(self) -> bytes | None:
        """Send and receive what goes without waiting; the response, once it is whole.

        Raises:
            OSError: the connection failed.
            EOFError: it ended before the response did.
        """
        if self.to_send:
            _check(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            self.to_send = self.to_send[self.socket.send(self.to_send) :]
            return None
        more = self.socket.recv(_MAX_DATAGRAM)
        if not more:
            raise EOFError
        self._received += more
        if len(self._received) < _SIZE.size:
            return None
        end = _SIZE.size + _SIZE.unpack_from(self._received)[0]
        return self._received[_SIZE.size : end] if len(self._received) >= end else None


class Conversation:
    """One nameserver's part in an exchange."""

    def __init__(
        self,
        nameserver: Nameserver,
        question: Question,
        sockets: Sockets,
        states: NameserverStates,
        deadline: float,
        *,
        wants_recursion: bool = True,
    ) -> None:
        self.nameserver = nameserver
        self.outcome: Outcome | None = None
        """Why it gives no answer, as soon as that is certain."""
        self.due = self.began = time.monotonic()
        """The monotonic time from which there is something to `send`."""
        self._question = question
        self._flags = dns.flags.RD if wants_recursion else dns.flags.Flag(0)
        self._sockets = sockets
        self._states = states
        self._wait = states.wait(nameserver, deadline - self.began)
        self._retry = _RETRY_SECONDS
        first = _FIRST[states.protocol(nameserver)]
        self._attempts: Iterator[Protocol] = (
            repeat(Protocol.TCP) if states.over_tcp else chain(first, cycle(_IN_EVERY_WAY))
        )
        self._udp: socket.socket | None = None
        self._transmissions: dict[int, _Transmission] = {}
        self._stream: _Stream | None = None
        self._tcp_failed = self._udp_failed = False
        self._has_answered = False
        self._defect = ""
        """What was wrong with the answer over UDP, once there was one."""
        self._understood = Protocol.TCP
        """What it will have understood when it answers over TCP."""

    def send(self) -> None:
        """Ask in the way that is next, and set when to ask again."""
        self._ask(next(self._attempts))

    @property
    def has_failed(self) -> bool:
        """Whether another nameserver may do better, for all that is known by now."""
        return self.outcome is not None or self._retry > _RETRY_SECONDS

    def note_silence(self, seconds: float) -> None:
        """Take note that it has not answered, if it had more than *seconds*."""
        is_over = self.has_failed or self._has_answered
        if is_over or time.monotonic() - self.began < seconds:
            return
        if self._defect:
            self._states.refused(self.nameserver)
        else:
            self._states.silent(self.nameserver)

    def conclude(self) -> Outcome:
        """Why there is no answer, now that there is no time left for one."""
        if self.outcome is None and self._defect:
            return LookupFailed(f"{self._defect}, and over TCP: timeout")
        return self.outcome or Silence()

    def _ask(self, protocol: Protocol) -> None:
        self.due = time.monotonic() + self._wait
        self._wait *= _BACKOFF
        if protocol is Protocol.TCP:
            self._ask_over_tcp()
        else:
            self._ask_over_udp(protocol)

    def _ask_over_udp(self, protocol: Protocol) -> None:
        query = self._make_query(protocol)
        try:
            if self._udp is None:
                self._udp = self._sockets.connect(self.nameserver, socket.SOCK_DGRAM)
                self._sockets.watch(self._udp, selectors.EVENT_READ, self._receive_datagram)
            self._transmissions[query.id] = _Transmission(query, protocol, time.monotonic())
            self._udp.send(query.to_wire())
        except OSError as error:
            self._fail_over_udp(error)

    def _ask_over_tcp(self) -> None:
        if self._stream or self._tcp_failed:
            return
        try:
            opened = self._sockets.connect(self.nameserver, socket.SOCK_STREAM)
        except OSError as error:
            self._fail_over_tcp(error)
            return
        # Without EDNS, which is for datagrams, and may be refused.
        self._stream = _Stream(opened, self._make_query(Protocol.PLAIN))
        self._sockets.watch(opened, selectors.EVENT_WRITE, self._receive_stream)

    def _make_query(self, protocol: Protocol) -> Message:
        flags = self._flags
        if protocol is Protocol.EDNS:
            return dns.message.make_query(
                *self._question, use_edns=0, payload=_EDNS_PAYLOAD, flags=flags
            )
        return dns.message.make_query(*self._question, use_edns=False, flags=flags)

    def _receive_datagram(self) -> Message | None:
        assert self._udp
        try:
            wire = self._udp.recv(_MAX_DATAGRAM)
        except BlockingIOError:  # nothing after all, such as a wrong checksum
            return None
        except OSError as error:  # what ICMP says of an earlier query
            self._fail_over_udp(error)
            return None
        transmission = self._transmissions.get(int.from_bytes(wire[:2], "big"))
        if transmission is None:
            return None
        try:
            response = _read(wire, transmission.query)
        except dns.exception.DNSException:
            if _is_begun(wire, transmission.query):
                self._ask_again_over_tcp("malformed", transmission)
            return None
        return self._judge(response, transmission) if response else None

    def _judge(self, response: Message, transmission: _Transmission) -> Message | None:
        if response.flags & dns.flags.TC:
            self._ask_again_over_tcp("truncated", transmission)
            return None
        if transmission.protocol is Protocol.EDNS and response.rcode() in _NO_EDNS:
            self._ask_without_edns()
            return None
        seconds = time.monotonic() - transmission.sent
        return self._accept(response, transmission.protocol, seconds)

    def _ask_without_edns(self) -> None:
        self._attempts = repeat(Protocol.PLAIN)
        if all(each.protocol is Protocol.EDNS for each in self._transmissions.values()):
            self.send()

    def _ask_again_over_tcp(self, defect: str, transmission: _Transmission) -> None:
        self._defect, self._understood = defect, transmission.protocol
        self.due, self._tcp_failed = math.inf, False
        self._ask_over_tcp()

    def _receive_stream(self) -> Message | None:
        stream = self._stream
        assert stream
        try:
            wire = stream.advance()
            if not stream.to_send:
                self._sockets.watch(stream.socket, selectors.EVENT_READ, self._receive_stream)
            response = _read(wire, stream.query) if wire is not None else None
        except BlockingIOError:
            return None
        except (OSError, EOFError, dns.exception.DNSException) as error:
            self._fail_over_tcp(error)
            return None
        if response is None:
            return None
        return self._accept(response, self._understood, None)

    def _accept(
        self, response: Message, protocol: Protocol, seconds: float | None
    ) -> Message | None:
        if response.rcode() in _FINAL:
            self._has_answered = True
            self._states.answered(self.nameserver, protocol, seconds)
            return response
        # SERVFAIL, REFUSED of a lame server, FORMERR and the like: another may do better.
        self._states.refused(self.nameserver)
        self._end(LookupFailed(dns.rcode.to_text(response.rcode())))
        return None

    def _fail_over_udp(self, error: OSError) -> None:
        if not isinstance(error, ConnectionRefusedError):
            self._cannot_ask(error)
            return
        self._udp_failed = True
        if self._tcp_failed:
            self._wait_for_restart()
        else:
            self._ask_over_tcp()

    def _fail_over_tcp(self, error: Exception) -> None:
        if self._stream:
            self._sockets.ignore(self._stream.socket)
        self._stream, self._tcp_failed = None, True
        if self._defect:
            self._states.refused(self.nameserver)
            self._end(LookupFailed(f"{self._defect}, and over TCP: {type(error).__name__}"))
        elif not (self._udp_failed or self._states.over_tcp):
            self.due = time.monotonic()  # it may just be slow over UDP
        elif isinstance(error, ConnectionRefusedError):
            self._wait_for_restart()
        elif isinstance(error, OSError):
            self._cannot_ask(error)
        else:
            self._states.refused(self.nameserver)
            self._end(LookupFailed(f"over TCP: {type(error).__name__}"))

    def _wait_for_restart(self) -> None:
        """Ask again soon, unless nobody has listened there for long."""
        self._states.gone(self.nameserver)
        if self._states.is_gone(self.nameserver):
            self._end(Silence())
            return
        self._tcp_failed = self._udp_failed = False
        self.due = time.monotonic() + self._retry
        self._retry *= _BACKOFF

    def _cannot_ask(self, error: OSError) -> None:
        if error.errno not in _PASSING:
            self._states.unreachable(self.nameserver)
        self._end(NotAsked(error.strerror or str(error) or type(error).__name__))

    def _end(self, outcome: Outcome) -> None:
        self.outcome, self.due = outcome, math.inf
        if self._udp:
            self._sockets.ignore(self._udp)
        if self._stream:
            self._sockets.ignore(self._stream.socket)


def _read(wire: bytes, query: Message) -> Message | None:
    """The response to *query* that *wire* is; None when it is none.

    Raises:
        dns.exception.DNSException: it cannot be read, or would take too long to read.
    """
    if is_costly(wire):
        raise dns.exception.TooBig
    response = dns.message.from_wire(wire, ignore_trailing=True)
    return response if query.is_response(response) else None


def _is_begun(wire: bytes, query: Message) -> bool:
    """Whether *wire* begins as a response to *query* does, whatever follows."""
    try:
        return query.is_response(dns.message.from_wire(wire, question_only=True))
    except dns.exception.DNSException:
        return False


def _check(number: int, *fine: int) -> None:
    """Raise the OSError of this errno, unless it is *fine*."""
    if number not in {0, *fine}:
        raise OSError(number, os.strerror(number))
