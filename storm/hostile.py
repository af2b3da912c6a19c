"""Storms of nonsense: packets that no MTA sends, and headers that no honest client writes."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from itertools import islice

from storm.mail_path import AS_SHIPPED
from storm.run import Findings, Order, Outcome
from storm.service import run_alone
from tests.lab import cast
from tests.lab.message import edited, split
from tests.lab.milter_client import Answer, MilterConnection, steps
from tests.lab.nameserver import run_nameserver
from tests.lab.parallel import in_parallel
from tests.lab.protocol import Reply
from tests.lab.settings import world
from tests.lab.systemd import Service

HEADERS_PER_PACKETS = 5
"""Packets that go with one hostile header, so that one number sizes the storm."""
_PACKETS_PER_SESSION = 50
_PACKETS_PER_ODD_MACROS = 2_500
_FIELDS_PER_MESSAGE = 10
_MESSAGES_PER_CONNECTION = 20
_PATIENCE = 15.0  # seconds, then a session counts as unanswered
_STEPS_OF_PROGRESS = 20
_RARELY, _OFTEN = 0.1, 0.7

_LETTERS = b"ABCDEHIKLMNOQRTUV"  # what the protocol knows, and then some
_OFFER = struct.pack("!III", 6, 0x1FF, 0x1FFFFF)
_PIECES = (
    *(b"", b"\0", b"\n", b"\r\n ", b"\t", b"<", b">", b"<>", b"@", b",", b";", b":", b'"', b"\\"),
    *(b"(", b")", b"((((((((", b"))))", b'"' * 40, b"<" * 40, b"@" * 40, b"a" * 300, b"." * 70),
    *(b"=?utf-8?q?=00?=", b"=?utf-8?b?//8=?=", b"=?x?q?y?=", b"=?utf-8?q?=0D=0AX:_y?=", b"=?=?="),
    *(b"\xff\xfe", b"\xc3\xa9", b"\xe2\x80\xae", b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80", b"\x1b[2J"),
    *(
        b"marky@mycompany.com",
        b"<marky@mycompany.com>",
        b"Marky",
        b"undisclosed:;",
        b"g: a@b.example;",
    ),
    *(
        b"@xn--a.example",
        b"@[192.0.2.1]",
        b"@-.example",
        b"@a..b",
        b"v=1; d=",
        b"a=rsa-sha256; b=",
    ),
)
_NAMES = (
    *(b"From", b"from", b"Reply-To", b"Sender", b"X-Original-From", b"Alignd", b"To", b"Subject"),
    *(
        b"DKIM-Signature",
        b"ARC-Seal",
        b"Authentication-Results",
        b"Message-ID",
        b"X-" + b"y" * 200,
    ),
)


def nonsense(order: Order) -> Outcome:
    """Send malformed packets, then hostile headers: every session is answered, no process dies."""
    findings = Findings()
    headers = order.messages // HEADERS_PER_PACKETS
    with (
        run_nameserver() as nameserver,
        run_alone(nameserver.address, AS_SHIPPED) as service,
    ):
        nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
        alive = set(service.workers())
        unanswered = _send_packets(service, order)
        findings.note(f"{order.messages} packets")
        findings.hold(f"{unanswered} sessions without an end", kept=unanswered == 0)
        wrong = _send_headers(service, headers, order)
        findings.note(f"{headers} hostile headers")
        findings.hold(f"{len(wrong)} not rewritten", kept=not wrong)
        gone = len(alive - set(service.workers())) + service.starts - 1
        findings.hold(f"{gone} crashes", kept=gone == 0)
        errors = service.log().count("action=fallback")
        findings.hold(f"{errors} internal errors", kept=errors == 0)
        _send_odd_macros(service, order, findings)
    return findings.outcome()


def _send_odd_macros(service: Service, order: Order, findings: Findings) -> None:
    """Send what libmilter itself does not survive: alignd has to live on, and to answer.

    smfi_getsymval() of libmilter 8.17 (smfi.c) steps over pairs of strings up to a null pointer,
    which it misses when a macro packet has an odd number of them.
    """
    count = max(1, order.messages // _PACKETS_PER_ODD_MACROS)
    unanswered: list[int] = []

    def work(shared: Iterator[int]) -> None:
        for number in shared:
            if not _is_ended(service.socket, _odd_macros(random.Random(f"{order.seed}/{number}"))):
                unanswered.append(number)

    in_parallel(work, range(count))
    findings.note(f"{count} sessions with an odd number of macro strings")
    findings.hold(f"{len(unanswered)} of them without an end", kept=not unanswered)
    ended = service.log().count("worker ended")
    findings.note(f"{ended} workers ended by libmilter, and replaced")
    # While each worker dies as soon as it serves, no probe comes through, and systemd is not told
    # that the service lives: if that lasts for longer than WatchdogSec, it restarts it all.
    findings.note(f"{service.watchdog_kills} restarts by the watchdog")
    crashes = service.starts - 1 - service.watchdog_kills
    findings.hold(f"{crashes} crashes of the supervisor", kept=crashes == 0)
    findings.hold(
        "the next message is rewritten",
        kept=not _send_headers(service, _FIELDS_PER_MESSAGE, order),
    )


def _odd_macros(chance: random.Random) -> bytes:
    """A session that is an MTA's but for its macros."""
    words = [
        chance.choice(_PIECES).replace(b"\0", b"") for _ in range(2 * chance.randrange(4) + 1)
    ]
    macros = _packet(b"D", b"M" + b"".join(word + b"\0" for word in words))
    packets = [_packet(b"O", _OFFER), macros, _packet(b"M", b"<a@mycompany.com>\0")]
    return b"".join([*packets, _packet(b"E", b""), _packet(b"Q", b"")])


def _send_packets(service: Service, order: Order) -> int:
    """Send sessions of packets; how many were left without an end."""
    unanswered: list[int] = []

    def work(shared: Iterator[int]) -> None:
        for number in shared:
            if not _is_ended(service.socket, _session(random.Random(f"{order.seed}/{number}"))):
                unanswered.append(number)
            _show_progress(order, number * _PACKETS_PER_SESSION, order.messages)

    in_parallel(work, range(order.messages // _PACKETS_PER_SESSION))
    return len(unanswered)


def _is_ended(spec: str, session: bytes) -> bool:
    """Whether the milter hangs up once we have."""
    with socket.socket(socket.AF_UNIX) as mta:
        mta.settimeout(_PATIENCE)
        mta.connect(spec.removeprefix("unix:"))
        try:
            mta.sendall(session)
            mta.shutdown(socket.SHUT_WR)
            while mta.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass  # it had hung up before all was said
    return True


def _session(chance: random.Random) -> bytes:
    """A session that begins as an MTA's does, usually, and goes on in sense and nonsense."""
    packets = [] if chance.random() < _RARELY else [_packet(b"O", _OFFER)]
    while len(packets) < _PACKETS_PER_SESSION - 1:
        packets += _nearly_a_message(chance) if chance.random() < _OFTEN else [_nonsense(chance)]
    del packets[_PACKETS_PER_SESSION - 1 :]
    # A length that lies makes nonsense of all behind it, so it comes last.
    lie = chance.choice((0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1))
    return b"".join([*packets, struct.pack("!I", lie) + chance.randbytes(chance.randrange(9))])


def _nearly_a_message(chance: random.Random) -> list[bytes]:
    """The packets of a message, one of which is lost, doubled, cut or replaced."""
    said = steps("a@mycompany.com", [cast.JULIA], _message(chance), leading_blank=True)
    packets = [_packet(command.letter, payload) for command, payload, _macros in said]
    at = chance.randrange(len(packets))
    letter, payload = packets[at][4:5], packets[at][5:]
    cut = _packet(letter, payload[: chance.randrange(len(payload) + 1)])
    instead = chance.choice(([], [packets[at]] * 2, [cut], [_nonsense(chance)]))
    packets[at : at + 1] = instead
    return packets


def _nonsense(chance: random.Random) -> bytes:
    letter = bytes([chance.choice(_LETTERS)])
    if letter == b"Q":  # the end, and nobody would read on
        letter = b"O" if chance.random() < _RARELY else b"L"
    payload = b"".join(chance.choices(_PIECES, k=chance.randrange(6)))
    if letter == b"D":
        # With an odd number of strings libmilter may crash: those come last, see below.
        words = payload.replace(b"\0", b"") + b"\0"
        return _packet(letter, bytes([chance.choice(_LETTERS)]) + words * 2)
    return _packet(letter, payload + b"\0" * chance.randrange(3))


def _packet(letter: bytes, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload) + 1) + letter + payload


def _send_headers(service: Service, count: int, order: Order) -> list[int]:
    """Send messages of hostile headers; those that do not leave as ours."""
    wrong: list[int] = []

    def work(shared: Iterator[int]) -> None:
        while some := list(islice(shared, _MESSAGES_PER_CONNECTION)):
            with MilterConnection(service.socket) as mta:
                for number in some:
                    message = _message(random.Random(f"{order.seed}/header/{number}"))
                    said = steps("a@mycompany.com", [cast.JULIA], message, leading_blank=True)
                    if not _is_ours(message, mta.tell_at_once(said)):
                        wrong.append(number)
            _show_progress(order, some[-1] * _FIELDS_PER_MESSAGE, count)

    in_parallel(work, range(count // _FIELDS_PER_MESSAGE))
    return wrong


def _message(chance: random.Random) -> bytes:
    fields = [_field(chance, b"From"), *(_field(chance, chance.choice(_NAMES)) for _ in range(9))]
    chance.shuffle(fields)
    return b"".join(fields) + b"\r\nHello\r\n"


def _field(chance: random.Random, name: bytes) -> bytes:
    value = b" ".join(chance.choices(_PIECES, k=chance.randrange(12)))
    # What would end the field is folded, and NUL has no place in the protocol.
    value = value.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n ")
    return name + b": " + value + b"\r\n"


def _is_ours(message: bytes, answer: Answer) -> bool:
    """Whether it leaves with one From, which is ours and clean."""
    if answer.reply is not Reply.CONTINUE:
        return False
    fields, _rest = split(edited(message, answer.modifications, b""))
    authors = [field.value for field in fields if field.name.lower() == b"from"]
    clean = all(32 <= byte < 127 or byte in b"\n" for value in authors for byte in value)
    ours = f"<{cast.NOTIFICATIONS}>".encode()
    return len(authors) == 1 and clean and authors[0].endswith(ours)


def _show_progress(order: Order, done: int, total: int) -> None:
    if done % max(1, total // _STEPS_OF_PROGRESS) < _PACKETS_PER_SESSION:
        order.progress(done, total)
