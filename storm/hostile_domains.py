"""The storm of hostile domains: what they publish is as large as DNS carries, and each is new."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from storm.mail_path import AS_SHIPPED
from storm.run import Findings, Order, Outcome
from storm.service import run_alone
from tests.lab import cast
from tests.lab.milter_client import MilterConnection, steps
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.parallel import in_parallel
from tests.lab.processes import resident_memory
from tests.lab.protocol import Reply
from tests.lab.readiness import open_directory

WORKER_OCTETS = 256 * 2**20
"""The most that a worker may take; docs/operation.md says so."""
FILE_OCTETS = 72 * 2**20
"""The most that the file of DNS answers may take, with what is still to be written into it."""
_MESSAGES_PER_CONNECTION = 20
_STEPS_OF_PROGRESS = 20
_HEADER, _QUERY_END = 12, 5  # octets of a DNS header, and behind the name of a question
_TXT = struct.pack("!H", 16)
_RESPONSE, _TRUNCATED = 0x8180, 0x0200  # flags: an answer with recursion; and with TC
_LARGEST_OVER_UDP = 1232
_DIGITS = b"0123456789"


def _record(*strings: bytes) -> bytes:
    """A TXT record of the name that was asked for, to be kept for an hour."""
    data = b"".join(bytes([len(each)]) + each for each in strings)
    return struct.pack("!HHHIH", 0xC00C, 16, 1, 3600, len(data)) + data


def _long(text: bytes) -> list[bytes]:
    return [_record(*(text[start : start + 255] for start in range(0, len(text), 255)))]


# What TXT answers have, by the number of the domain; nothing else has any.
_ANSWERS = [
    _long(b"v=spf1 " + b"x" * 15_000 + b" -all"),
    _long(b"v=spf1 ip4:192.0.2.1 " + b"ip4:192.0.2.1 " * 200 + b"-all"),
    _long(b"v=DMARC1; p=reject; rua=mailto:a@x.example" + b",mailto:a@x.example" * 800),
    [_record(b"%d" % number) for number in range(900)],
    [_record(b"v=spf1 -all"), *(_record(b"x" * 60) for _ in range(40))],
    [_record(b"v=spf1 -all"), *(_record(b"%03d" % n + b"x" * 240) for n in range(240))],
    _long(b"v=spf1 include:%{d}.a.example a mx -all"),
]


class _Hostile(Nameserver):
    """Answers each question as large as it can, and cheaply."""

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        end = data.index(b"\0", _HEADER) + _QUERY_END
        question = data[_HEADER:end]
        records: list[bytes] = []
        if question[-4:-2] == _TXT:
            digits = bytes(octet for octet in question if octet in _DIGITS)
            records = _ANSWERS[int(digits or b"0") % len(_ANSWERS)]
        body = question + b"".join(records)
        if over_udp and len(body) > _LARGEST_OVER_UDP:
            head = struct.pack("!HHHHH", _RESPONSE | _TRUNCATED, 1, 0, 0, 0)
            return data[:2] + head + question
        return data[:2] + struct.pack("!HHHHH", _RESPONSE, 1, len(records), 0, 0) + body


def flood(order: Order) -> Outcome:
    """Send a message of each of many hostile domains, and weigh the workers and their file."""
    findings = Findings()
    with open_directory() as directory, run_nameserver(_Hostile()) as nameserver:
        archive = directory / "dns.sqlite"
        settings = AS_SHIPPED.replace("workers = 0", "workers = 2")
        changes = f'{settings}archive = "{archive}"\n'  # of [dns], which stands last
        with run_alone(nameserver.address, changes) as service:
            unanswered = _send(service.socket, order)
            heaviest = max(map(resident_memory, service.workers()))
            crashes = service.log().count("worker ended") + service.starts - 1
            errors = service.log().count("action=fallback")
        size = sum(each.stat().st_size for each in Path(directory).glob("dns.sqlite*"))
    findings.hold(f"{unanswered} not answered", kept=unanswered == 0)
    findings.hold(f"a worker takes {heaviest / 2**20:.0f} MiB", kept=heaviest < WORKER_OCTETS)
    findings.hold(f"the file of answers {size / 2**20:.0f} MiB", kept=size < FILE_OCTETS)
    findings.hold(f"{crashes} crashes", kept=crashes == 0)
    findings.hold(f"{errors} internal errors", kept=errors == 0)
    return findings.outcome()


def _send(socket: str, order: Order) -> int:
    """Send a message of each domain; how many were not answered."""
    unanswered: list[int] = []
    step = max(1, order.messages // _STEPS_OF_PROGRESS)

    def work(shared: Iterator[int]) -> None:
        while some := list(islice(shared, _MESSAGES_PER_CONNECTION)):
            with MilterConnection(socket) as mta:
                for number in some:
                    author = f"a@d{order.seed}x{number}.{'h' * 50}.example"
                    content = f"From: A <{author}>\r\nSubject: Re\r\n\r\nHello\r\n".encode()
                    sent = steps(author, [cast.JULIA], content, leading_blank=True)
                    if mta.tell_at_once(sent).reply is not Reply.CONTINUE:
                        unanswered.append(number)
                    if number % step == 0:
                        order.progress(number, order.messages)

    in_parallel(work, range(order.messages))
    return len(unanswered)
