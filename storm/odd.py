"""The storm of odd messages: each goes through the relay twice, with alignd and without.

Both ways are the queue-first layout, which alignd is taken out of for one of them.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

from storm.mail import Kind, Post
from storm.mail_path import AS_SHIPPED, memory_directory
from storm.oddities import odd_message, vast_message
from storm.run import Findings, Order, Outcome
from storm.service import run_alone
from tests.lab.layouts import SUBMISSION, run_layout
from tests.lab.load import Parcel, send_all
from tests.lab.message import normalised, split
from tests.lab.nameserver import run_nameserver
from tests.lab.postfix import Postfix
from tests.lab.sink import Arrival, run_sink

LISTED = re.compile(
    rb"From|Reply-To|Sender|DKIM-Signature|ARC-.*|X-Original-From|Alignd", re.IGNORECASE
)
"""The fields that a rewrite may touch."""
_SIDES = ("with", "without")
_RECIPIENT = re.compile(r"odd(\d+)@(\w+)\.example")
_VAST = 2  # messages of 50 MB
_MESSAGES_PER_VAST = 5_000  # a smaller storm has none
_ON_THEIR_WAY = 400
_PATIENCE = 120.0  # seconds
# Or Postfix gives each message of a client at its own address a Date and a Message-ID of its own.
_SETTINGS = "local_header_rewrite_clients =\n"
_SIZE_LIMIT = 100_000_000  # octets, for the vast ones


class Pairs:
    """Compares what arrives, once it has come both ways; safe for threads."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.untouched = 0
        self.rewritten = 0
        self.different: list[int] = []
        self._progress = progress
        self._waiting: dict[int, tuple[str, bytes]] = {}
        self._changed = threading.Condition()

    def arrive(self, arrival: Arrival) -> None:
        """Take one side of a pair."""
        found = _RECIPIENT.fullmatch(arrival.recipients[0])
        if found is None:
            return
        number, side = int(found[1]), found[2]
        with self._changed:
            other = self._waiting.pop(number, None)
            if other is None:
                self._waiting[number] = side, arrival.message
                return
            self._compare(number, *dict(sorted([other, (side, arrival.message)])).values())
            self._changed.notify_all()

    @property
    def compared(self) -> int:
        """How many pairs are done."""
        return self.untouched + self.rewritten + len(self.different)

    def wait_for(self, count: int) -> None:
        """Wait until at least *count* pairs are done, as long as some are being done."""
        with self._changed:
            while self.compared < count:
                if not self._changed.wait(_PATIENCE):
                    return

    def _compare(self, number: int, with_alignd: bytes, without: bytes) -> None:
        after, before = normalised(with_alignd), normalised(without)
        if after == before:
            self.untouched += 1
        elif b"\nAlignd: action=" in with_alignd and _unlisted(after) == _unlisted(before):
            self.rewritten += 1
        else:
            self.different.append(number)
        self._progress(self.compared)


def compare(order: Order) -> Outcome:
    """Send every message twice, and compare byte for byte what arrives."""
    post = Post(order.seed)
    pairs = Pairs(partial(_show_progress, order))
    with (
        run_nameserver() as nameserver,
        run_sink(pairs.arrive) as sink_port,
        run_alone(nameserver.address, AS_SHIPPED) as service,
        _run_relay(service.socket, sink_port) as with_alignd,
        _run_relay("", sink_port) as without,
    ):
        ports = [relay.ports[SUBMISSION] for relay in (with_alignd, without)]
        nameserver.serve(post.zone())
        refused: list[int] = []
        senders = [
            threading.Thread(target=_send, args=(port, side, post, order, pairs, refused))
            for port, side in zip(ports, _SIDES, strict=True)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        pairs.wait_for(order.messages - len(set(refused)))
    return _outcome(order, pairs, refused)


def _run_relay(milter: str, sink_port: int) -> AbstractContextManager[Postfix]:
    return run_layout(
        "queue-first",
        milter,
        sink_port,
        settings=_SETTINGS,
        size_limit=_SIZE_LIMIT,
        parent=memory_directory(),
    )


def _outcome(order: Order, pairs: Pairs, refused: Sequence[int]) -> Outcome:
    findings = Findings()
    once = {number for number in refused if refused.count(number) == 1}
    findings.note(f"{pairs.untouched} untouched and identical")
    findings.note(f"{pairs.rewritten} rewritten, otherwise identical")
    shown = ", ".join(map(str, sorted(pairs.different)[:5]))
    findings.hold(
        f"{len(pairs.different)} different" + (f" ({shown})" if shown else ""),
        kept=not pairs.different,
    )
    findings.note(f"{len(set(refused) - once)} refused both ways")
    findings.hold(f"{len(once)} refused one way", kept=not once)
    missing = order.messages - len(set(refused)) - pairs.compared
    findings.hold(f"{missing} missing", kept=missing == 0)
    kinds = pairs.untouched > 0 and pairs.rewritten > 0
    findings.hold("both kinds seen", kept=kinds)
    return findings.outcome()


def _send(
    port: int, side: str, post: Post, order: Order, pairs: Pairs, refused: list[int]
) -> None:
    def parcels() -> Iterator[tuple[int, Parcel]]:
        for number in range(order.messages):
            pairs.wait_for(number - _ON_THEIR_WAY)
            yield number, _parcel(post, order, side, number)

    def note(number: int, taken: bool) -> None:
        if not taken:
            refused.append(number)

    send_all(port, parcels(), note, sessions=4)


def _parcel(post: Post, order: Order, side: str, number: int) -> Parcel:
    """The message with this number, whichever side it goes."""
    chance = random.Random(f"{order.seed}/odd/{number}")
    kind = chance.choice(tuple(Kind))
    author = f"agent{number}@{post.domain(kind, chance.randrange(post.domains))}"
    vast = _VAST if order.messages >= _MESSAGES_PER_VAST else 0
    content = vast_message(author) if number < vast else odd_message(author, chance)
    return Parcel(author, [f"odd{number}@{side}.example"], content)


def _unlisted(message: bytes) -> bytes:
    """The message without the fields that may change."""
    fields, rest = split(message)
    return b"".join(each.raw for each in fields if not LISTED.fullmatch(each.name)) + rest


def _show_progress(order: Order, done: int) -> None:
    if done % max(1, order.messages // 20) == 0:
        order.progress(done, order.messages)
