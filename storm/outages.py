"""Storms over DNS: silent, slow, lossy and failing while mail goes on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import ceil

from storm.ledger import Ledger
from storm.mail import Kind, Left, Post
from storm.run import Findings, Order, Outcome
from storm.sink import Arrival
from storm.stage import Logged, Stage, set_stage
from tests.lab.faulty_nameserver import Fault, SickNameserver
from tests.lab.readiness import wait_until

MESSAGES_PER_SECOND = 42
"""So 5,000 messages take the two minutes of the outage."""
FAST_ENOUGH = 50.0  # milliseconds
BUDGET = 2_000.0  # milliseconds, the default of [dns] timeout
_UNKNOWN_SHARE = 5  # one message in so many is of a domain that was never met
_WARMING = 200  # messages, so that each domain is met
_SETTLING = 60.0  # seconds

# Answers expire within the outage, as they would if it lasted hours.
_CHANGES = """\
[milter]
workers = 0
[dns]
stale = "3d"
max_ttl = "1s"
archive = "{directory}/dns.sqlite"
"""
_REWRITTEN = dict.fromkeys(Kind, Left.REWRITTEN)


def outage(order: Order) -> Outcome:
    """Silence DNS while mail of known and of unknown domains goes on."""
    known, unknown = Post(order.seed), Post(order.seed, prefix="new")
    warm = Post(order.seed + 1)
    books = [Ledger(warm), Ledger(known), Ledger(unknown, _REWRITTEN)]
    nameserver = SickNameserver(order.seed)
    findings = Findings()
    with set_stage(_enter_in(books), nameserver=nameserver, changes=_CHANGES) as stage:
        nameserver.serve(known.zone() + unknown.records())
        stage.send(warm, books[0], range(min(_WARMING, order.messages)))
        findings.hold("warmed up", kept=books[0].settle(_SETTLING).is_even)
        nameserver.fault = Fault.SILENT
        first, steady = _through_outage(stage, order, (known, unknown), books[1:])
        findings.note(f"DNS silent for {order.messages / MESSAGES_PER_SECOND:.0f} s")
        findings.add(books[1].settle(_SETTLING))
        findings.note("of unknown domains")
        findings.add(books[2].settle(_SETTLING))
        put_off = stage.times_put_off()
    tempfails = sum(each.action == "tempfail" for each in (*first, *steady))
    findings.hold(f"{put_off + tempfails} temporary failures", kept=not put_off + tempfails)
    within = percentile(steady, 0.99)
    findings.hold(f"p99 {within:.1f} ms once the breaker is open", kept=within < FAST_ENOUGH)
    findings.note(f"slowest {percentile((*first, *steady), 1):.0f} ms, when it began")
    return findings.outcome()


def bad_dns(order: Order) -> Outcome:
    """Let mail meet a nameserver that is slow, then one that loses, then one that fails."""
    nameserver = SickNameserver(order.seed)
    findings = Findings()
    books: list[Ledger] = []
    faults = (Fault.SLOW, Fault.LOSSY, Fault.FAILING)
    with set_stage(_enter_in(books), nameserver=nameserver) as stage:
        for number, fault in enumerate(faults):
            post = Post(order.seed, domains=100, prefix=f"dns{number}")
            books.append(Ledger(post))
            nameserver.fault = fault
            nameserver.serve(post.zone())
            position = stage.log_position()
            stage.send(post, books[-1], range(order.messages // len(faults)))
            findings.note(fault.value)
            findings.add(books[-1].settle(_SETTLING), cautious=True)
            slowest = percentile(stage.logged(position), 1)
            findings.hold(f"slowest {slowest:.0f} ms", kept=slowest <= BUDGET)
            order.progress((number + 1) * order.messages // len(faults), order.messages)
    return findings.outcome()


def _through_outage(
    stage: Stage, order: Order, posts: Sequence[Post], books: Sequence[Ledger]
) -> tuple[list[Logged], list[Logged]]:
    """Send all the mail at its pace; what was logged until the breaker was open, and then."""
    unknown = order.messages // _UNKNOWN_SHARE
    shares = (order.messages - unknown, unknown)
    senders = [
        threading.Thread(
            target=stage.send,
            args=(post, ledger, range(share)),
            kwargs={"rate": MESSAGES_PER_SECOND * share / order.messages},
        )
        for post, ledger, share in zip(posts, books, shares, strict=True)
    ]
    begin = stage.log_position()
    for sender in senders:
        sender.start()
    try:
        opened = _await_breakers(stage, begin, order.messages / MESSAGES_PER_SECOND)
    finally:
        for sender in senders:
            sender.join()
    order.progress(order.messages, order.messages)
    for ledger in books:
        ledger.settle(_SETTLING)
    return stage.logged(begin, opened), stage.logged(opened)


def _await_breakers(stage: Stage, begin: int, seconds: float) -> int:
    """Where the log ends once the breaker of every worker is open; within *seconds*."""
    workers = len(stage.service.workers())

    def all_open() -> bool:
        return stage.service.log(begin).count("DNS is down: ") >= workers

    wait_until(all_open, "the breaker of every worker to open", seconds)
    return stage.log_position()


def _enter_in(books: Sequence[Ledger]) -> Arrival:
    def enter(sender: str, _recipients: Sequence[str], content: bytes) -> None:
        for ledger in books:
            ledger.arrive(sender, content)

    return enter


def percentile(logged: Sequence[Logged], share: float) -> float:
    """The milliseconds within which this *share* of the messages was done; 0 if none was."""
    times = sorted(each.milliseconds for each in logged)
    return times[max(0, ceil(len(times) * share) - 1)] if times else 0.0
