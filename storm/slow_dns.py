"""A storm of new domains while DNS is slow: mail of known ones overtakes it."""

from __future__ import annotations

import threading
import time
from math import ceil

from storm.accounts import Accounts
from storm.mail import Post
from storm.mail_path import MailPath, run_mail_path
from storm.run import Findings, Order, Outcome
from tests.lab.nameserver import Nameserver
from tests.lab.sink import Arrival

DNS_SECONDS = 1.0
NEW_PER_SECOND = 40
KNOWN_PER_SECOND = 10
SOON = 4.0
"""Seconds from Postfix's 250 to the arrival, within which known mail is to be through."""
_KNOWN_SHARE = 1 + NEW_PER_SECOND // KNOWN_PER_SECOND  # every fifth message
_KNOWN_DOMAINS = 5
_SETTLING = 120.0  # seconds
# What one worker has met, the other has from the archive.
_CHANGES = """\
[milter]
workers = 0
[dns]
min_ttl = "5s"
stale = "3d"
archive = "{directory}/dns.sqlite"
"""


class SlowNameserver(Nameserver):
    """Answers after *seconds*."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._never = threading.Event()

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        self._never.wait(self.seconds)
        return super().respond(data, over_udp=over_udp)


class TimedAccounts(Accounts):
    """Accounts that know how long each message was on its way."""

    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self._post_of = post
        self._taken: dict[int, float] = {}
        self._arrived: dict[int, float] = {}

    def accept(self, number: int) -> None:
        self._taken[number] = time.monotonic()
        super().accept(number)

    def arrive(self, arrival: Arrival) -> None:
        number = self._post_of.number_of(arrival.message)
        if number is not None:
            self._arrived.setdefault(number, time.monotonic())
        super().arrive(arrival)

    def within(self, share: float) -> float:
        """The seconds within which this *share* of what has arrived was through."""
        times = sorted(at - self._taken.get(number, at) for number, at in self._arrived.items())
        return times[max(0, ceil(len(times) * share) - 1)] if times else 0.0

    @property
    def rate(self) -> float:
        """How many arrived in a second."""
        times = self._arrived.values()
        return len(times) / max(max(times) - min(times), 1.0) if times else 0.0


def slow_dns(order: Order) -> Outcome:
    """Send mail of domains that were never met, each answer of DNS late, and of known ones."""
    known = Post(order.seed, domains=_KNOWN_DOMAINS)
    warm, new = Post(order.seed + 1, _KNOWN_DOMAINS), Post(order.seed, order.messages, "new")
    warming, through, beside = (TimedAccounts(post) for post in (warm, known, new))
    nameserver = SlowNameserver()
    findings = Findings()

    def arrive(arrival: Arrival) -> None:
        for each in (warming, through, beside):
            each.arrive(arrival)

    with run_mail_path(arrive, nameserver=nameserver, changes=_CHANGES) as mail_path:
        nameserver.serve(known.zone() + new.records())
        mail_path.send(warm, warming, range(20 * _KNOWN_DOMAINS))
        findings.hold("warmed up", kept=warming.settle(_SETTLING).is_even)
        nameserver.seconds = DNS_SECONDS
        _send_both(mail_path, order, (known, through), (new, beside))
        findings.note(f"DNS answers after {DNS_SECONDS:g} s; of known domains")
        findings.add(through.settle(_SETTLING))
        late = through.within(0.99)
        findings.note(f"half of it through in {through.within(0.5):.2f} s")
        findings.hold(f"p99 in {late:.2f} s", kept=late < SOON)
        findings.note("of new domains")
        findings.add(beside.settle(_SETTLING), cautious=True)
        findings.note(f"{beside.rate:.0f} messages a second, p99 in {beside.within(0.99):.1f} s")
    return findings.outcome()


def _send_both(
    mail_path: MailPath,
    order: Order,
    known: tuple[Post, Accounts],
    new: tuple[Post, Accounts],
) -> None:
    """Send both at their pace; *order* has the number of all messages."""
    of_known = order.messages // _KNOWN_SHARE
    senders = [
        threading.Thread(target=mail_path.send, args=(*mail, range(number)), kwargs={"rate": rate})
        for mail, number, rate in (
            (known, of_known, KNOWN_PER_SECOND),
            (new, order.messages - of_known, NEW_PER_SECOND),
        )
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    order.progress(order.messages, order.messages)
